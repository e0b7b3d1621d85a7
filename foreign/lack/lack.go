package lack

import (
	"path"
	"slices"
	"strings"

	"github.com/MordragT/nuka/internal/lazyregexp"
)

// A Kind is what is lacking.
type Kind int

// The kinds.
const (
	Program  Kind = iota // a program in PATH
	Header               // a header of C or C++
	Library              // a library to link, as in -lfoo
	Module               // a module of pkg-config
	CMakeLib             // a package of CMake
)

func (k Kind) String() string {
	return [...]string{"program", "header", "library", "pkg-config module", "CMake package"}[k]
}

// A Lack is something that a build lacks. It is comparable.
type Lack struct {
	Kind Kind
	Name string
	// Guess means that a build may name it though it can do without it. It counts only if a package has it and nothing certain was found.
	Guess bool
}

func (l Lack) String() string {
	if l.Kind == Library {
		return "library -l" + l.Name
	}
	return l.Kind.String() + " " + l.Name
}

const (
	maxLacks = 50      // of one build
	maxLine  = 4 << 10 // bytes of a line that are read
)

// A Reader collects what the lines of a build's output name. Its zero value is ready. It is for one goroutine.
type Reader struct {
	lacks []Lack
	list  bool // the line before began CMake's list of modules
}

// Lacks returns what was found: what is certain, or else the guesses. No name has characters that mean something to a shell or in a pattern.
func (r *Reader) Lacks() []Lack {
	certain := slices.DeleteFunc(slices.Clone(r.lacks), func(l Lack) bool { return l.Guess })
	if len(certain) > 0 {
		return certain
	}
	return slices.Clone(r.lacks)
}

var (
	escapes = lazyregexp.New("\x1b(\\[[0-9;?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)?|.)")
	// plain matches what can be the name of a file of a package.
	plain = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,80}(/[A-Za-z0-9_][A-Za-z0-9_.+-]{0,80}){0,6}$`)
	// hint is in each line that names a lack: other lines are not compared with the patterns.
	hint = lazyregexp.New(`(?i)not f|no such file|cannot|can't|could|no package|unknown compiler|no acceptable|unable|not installed|failed to find|headers\.tar|not set|required by|any python`)
)

// Line reads one line.
func (r *Reader) Line(line string) {
	line = escapes().ReplaceAllString(line[:min(len(line), maxLine)], "")
	if r.list {
		if m := cmakeItem().FindStringSubmatch(line); m != nil {
			r.add(Module, m[1], false)
			return
		}
		r.list = false
	}
	if !hint().MatchString(line) || tried().MatchString(line) {
		return
	}
	if cmakeList().MatchString(line) {
		r.list = true
		return
	}
	for _, p := range patterns {
		for _, m := range p.re().FindAllStringSubmatch(line, 8) {
			name := p.name
			if name == "" {
				name = m[1]
			}
			r.add(p.kind, name, p.guess)
			if p.last {
				return
			}
		}
	}
}

func (r *Reader) add(kind Kind, name string, guess bool) {
	if kind == Program {
		name = program(name)
	}
	l := Lack{kind, name, guess}
	if !plain().MatchString(name) || kind != Header && strings.Contains(name, "/") {
		return
	}
	other := l
	other.Guess = !guess
	switch i := slices.Index(r.lacks, other); {
	case slices.Contains(r.lacks, l) || i >= 0 && guess:
	case i >= 0:
		r.lacks[i] = l
	case len(r.lacks) < maxLacks:
		r.lacks = append(r.lacks, l)
	}
}

var triplet = lazyregexp.New(`^[a-z0-9_]+-linux-gnu-`)

// program returns the name of the program that stands for others which do the same, such as the compilers.
func program(name string) string {
	name = triplet().ReplaceAllString(path.Base(name), "")
	switch name {
	case "cc", "gcc", "clang", "c99", "c89":
		return "gcc"
	case "c++", "g++", "clang++":
		return "g++"
	case "python", "python2":
		return "python3"
	case "gmake":
		return "make"
	case "pkgconf":
		return "pkg-config"
	}
	return name
}

// Files returns patterns of path.Match for the files that bring what is lacking, best first. triplet is the name of the machine in the folders of the
// distribution's libraries, such as x86_64-linux-gnu.
func (l Lack) Files(triplet string) []string {
	libs := []string{"usr/lib/" + triplet, "usr/lib"}
	var out []string
	switch l.Kind {
	case Program:
		for _, dir := range []string{"usr/bin", "bin", "usr/sbin", "sbin"} {
			out = append(out, dir+"/"+l.Name)
		}
	case Header:
		for _, dir := range []string{"", triplet + "/", "*/", triplet + "/*/", "*/*/"} {
			out = append(out, "usr/include/"+dir+l.Name)
		}
	case Library:
		for _, dir := range libs {
			out = append(out, dir+"/lib"+l.Name+".so", dir+"/lib"+l.Name+".a")
		}
	case Module:
		for _, dir := range append(libs, "usr/share") {
			out = append(out, dir+"/pkgconfig/"+l.Name+".pc")
		}
	case CMakeLib:
		for _, dir := range append(libs, "usr/share") {
			for _, name := range []string{l.Name + "Config.cmake", strings.ToLower(l.Name) + "-config.cmake"} {
				out = append(out, dir+"/cmake/*/"+name)
			}
		}
		for _, name := range []string{l.Name, strings.ToLower(l.Name), "lib" + strings.ToLower(l.Name)} {
			out = append(out, Lack{Kind: Module, Name: name}.Files(triplet)...)
		}
	}
	return out
}

// With returns the packages to add for a package that has what is lacking: Debian's gcc only recommends the headers of C, and python3-minimal and perl-base have
// the programs without most of their libraries.
func With(name string) []string {
	switch name {
	case "gcc":
		return []string{"gcc", "libc6-dev"}
	case "python3-minimal":
		return []string{"python3"}
	case "perl-base":
		return []string{"perl"}
	}
	return []string{name}
}
