package elfdeps

import (
	"debug/elf"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A Missing is a library that no folder has in which the loader looks for it.
type Missing struct {
	Soname string
	By     string // the first file that needs it
	// Optional means that the program may run without it: a dlopen note names it, or only a plugin needs it.
	Optional bool
	// Own means that it is of a project of which the application brings other libraries: one from elsewhere would not fit.
	Own bool
}

// A TooOld is a library that is there without a symbol version that a file needs.
type TooOld struct {
	Soname  string
	Path    string // of the library
	Version string // what is needed, such as GLIBC_2.38
	Newest  string // the newest version of the same family that the library has, such as GLIBC_2.36; may be empty
	By      string
}

// A Report is the result of a Scan.
type Report struct {
	// Interpreter is the loader of the first program, if it does not exist.
	Interpreter string
	Missing     []Missing
	TooOld      []TooOld
	// Foreign names the first program that is made for another kind of processor.
	Foreign string
}

// OK reports whether all that is needed is there.
func (r *Report) OK() bool {
	return r.Interpreter == "" && r.Foreign == "" && len(r.TooOld) == 0 && !slices.ContainsFunc(r.Missing, func(m Missing) bool { return !m.Optional })
}

// A Scan follows the needs of programs and libraries through a root. It is for one goroutine.
type Scan struct {
	root    Root
	machine elf.Machine
	path    []string         // LD_LIBRARY_PATH
	system  []string         // folders of the loader itself
	files   map[string]*file // by path, before links; nil if there is none
	report  Report
	told    map[string]int // index in Missing by SONAME
}

// NewScan returns a scan of a root for programs of a machine. libraryPath holds the folders of LD_LIBRARY_PATH.
func NewScan(root Root, machine elf.Machine, libraryPath []string) *Scan {
	s := &Scan{root: root, machine: machine, path: libraryPath, files: map[string]*file{}, told: map[string]int{}}
	s.system = Folders(root, machine)
	return s
}

// Folders returns the folders in which the loader of a root looks for libraries by itself.
func Folders(root Root, machine elf.Machine) []string {
	return append(configured(root), systemFolders(machine)...)
}

// Report returns what is missing by now.
func (s *Scan) Report() *Report { return &s.report }

// An object is a file that the loader has loaded, with the object that needed it.
type object struct {
	at     string
	binary *Binary
	loader *object
}

// Add follows the needs of the program or library at a path. Names that a file of the same process has loaded count as found, as for the loader. It returns an error if the
// file cannot be read, and ErrNotELF if it is no ELF file. Optional reports whether what it needs may be missing.
func (s *Scan) Add(name string, optional bool) error {
	at, b, err := s.read(name)
	if err != nil {
		return err
	}
	if b.Machine != s.machine {
		if s.report.Foreign == "" && !optional {
			s.report.Foreign = name
		}
		return nil
	}
	if b.Interpreter != "" && s.report.Interpreter == "" {
		if _, _, err := Resolve(s.root, b.Interpreter); err != nil {
			s.report.Interpreter = b.Interpreter
		}
	}
	loaded := map[string]*Binary{} // by SONAME or name, in this process
	if b.Soname != "" {
		loaded[b.Soname] = b
	}
	if b.Interpreter != "" {
		loaded[path.Base(b.Interpreter)] = &Binary{}
	}
	queue := []*object{{at: at, binary: b}}
	for len(queue) > 0 { // breadth first, as the loader
		o := queue[0]
		queue = queue[1:]
		for _, want := range o.binary.Needed {
			have, there := loaded[want]
			if !there {
				found := s.find(o, want)
				if found == nil {
					s.missing(want, o.at, optional)
					loaded[want] = &Binary{}
					continue
				}
				loaded[want], loaded[path.Base(found.at)] = found.binary, found.binary
				if found.binary.Soname != "" {
					loaded[found.binary.Soname] = found.binary
				}
				queue, have = append(queue, found), found.binary
			}
			s.compare(o, want, have)
		}
		for _, opt := range o.binary.Optional {
			s.optional(o, opt, loaded)
		}
	}
	return nil
}

// A file is a file that a Scan has read, with its path after all links.
type file struct {
	at     string
	binary *Binary
}

func (s *Scan) read(name string) (string, *Binary, error) {
	if f, ok := s.files[name]; ok {
		if f == nil {
			return name, nil, fs.ErrNotExist
		}
		return f.at, f.binary, nil
	}
	at, b, err := ReadFile(s.root, name)
	switch {
	case err == nil && s.files[at] != nil: // another link to it
		b = s.files[at].binary
		s.files[name] = s.files[at]
	case err == nil:
		f := &file{at, b}
		s.files[name], s.files[at] = f, f
	case errors.Is(err, fs.ErrNotExist):
		s.files[name] = nil
	}
	return at, b, err
}

// optional looks for the libraries of a dlopen note: one of them is enough.
func (s *Scan) optional(o *object, opt Optional, loaded map[string]*Binary) {
	for _, name := range opt.Sonames {
		if loaded[name] != nil || s.find(o, name) != nil {
			return
		}
	}
	if len(opt.Sonames) > 0 {
		s.missing(opt.Sonames[0], o.at, opt.Priority != "required")
	}
}

func (s *Scan) missing(name, by string, optional bool) {
	if i, ok := s.told[name]; ok {
		if s.report.Missing[i].Optional && !optional {
			s.report.Missing[i] = Missing{Soname: name, By: by, Optional: false}
		}
		return
	}
	s.told[name] = len(s.report.Missing)
	s.report.Missing = append(s.report.Missing, Missing{Soname: name, By: by, Optional: optional})
}

// compare reports the versions that o needs of a library and that the library does not have. A library without versions satisfies all, as for the loader.
func (s *Scan) compare(o *object, name string, have *Binary) {
	if len(have.Defines) == 0 {
		return
	}
	for _, version := range o.binary.Requires[name] {
		if slices.Contains(have.Defines, version) ||
			slices.ContainsFunc(s.report.TooOld, func(t TooOld) bool { return t.Soname == name && t.Version == version }) {
			continue
		}
		s.report.TooOld = append(s.report.TooOld, TooOld{Soname: name, Path: s.pathOf(have), Version: version, Newest: newest(have.Defines, version), By: o.at})
	}
}

func (s *Scan) pathOf(b *Binary) string {
	for _, f := range s.files {
		if f != nil && f.binary == b {
			return f.at
		}
	}
	return ""
}

// find returns the library that the loader takes for a name that o needs, or nil. The order is that of ld.so(8).
func (s *Scan) find(o *object, name string) *object {
	if strings.Contains(name, "/") {
		return s.take(o, expand(name, o.at, s.machine))
	}
	var folders []string
	if o.binary.Runpath == nil {
		for at := o; at != nil; at = at.loader {
			if at.binary.Runpath != nil {
				continue
			}
			for _, dir := range at.binary.Rpath {
				folders = append(folders, expand(dir, at.at, s.machine))
			}
		}
	}
	folders = append(folders, s.path...)
	for _, dir := range o.binary.Runpath {
		folders = append(folders, expand(dir, o.at, s.machine))
	}
	for _, dir := range append(folders, s.system...) {
		if !path.IsAbs(dir) {
			continue // relative to the folder that the program starts in: nothing is known
		}
		if found := s.take(o, path.Join(dir, name)); found != nil {
			return found
		}
	}
	return nil
}

// take returns the library at a path, or nil if none is there that the loader takes: it passes over files for other processors.
func (s *Scan) take(o *object, at string) *object {
	where, b, err := s.read(at)
	if err != nil || b.Machine != s.machine {
		return nil
	}
	return &object{at: where, binary: b, loader: o}
}

// expand replaces the tokens of ld.so(8) in a folder of a RPATH or RUNPATH of the file at a path.
func expand(dir, at string, machine elf.Machine) string {
	multiarch, platform := Multiarch(machine), strings.TrimSuffix(Multiarch(machine), "-linux-gnu")
	for token, value := range map[string]string{"ORIGIN": path.Dir(at), "LIB": "lib/" + multiarch, "PLATFORM": platform} {
		dir = strings.ReplaceAll(strings.ReplaceAll(dir, "${"+token+"}", value), "$"+token, value)
	}
	return dir
}

// Multiarch returns the name of a machine in the folders of Debian's libraries, such as x86_64-linux-gnu; empty if the machine is unknown.
func Multiarch(machine elf.Machine) string {
	switch machine {
	case elf.EM_X86_64:
		return "x86_64-linux-gnu"
	case elf.EM_AARCH64:
		return "aarch64-linux-gnu"
	case elf.EM_RISCV:
		return "riscv64-linux-gnu"
	}
	return ""
}

// systemFolders returns the folders in which Debian's glibc looks last.
func systemFolders(machine elf.Machine) []string {
	m := Multiarch(machine)
	return []string{"/lib/" + m, "/usr/lib/" + m, "/lib", "/usr/lib", "/lib64", "/usr/lib64"}
}

// maxConfig bounds the files of ld.so.conf.
const maxConfig = 64 << 10

// configured returns the folders that /etc/ld.so.conf.d names.
func configured(root Root) (folders []string) {
	dir, info, err := Resolve(root, "/etc/ld.so.conf.d")
	if err != nil || !info.IsDir() {
		return nil
	}
	names, err := root.List(dir)
	if err != nil {
		return nil
	}
	slices.Sort(names)
	for _, name := range names {
		if path.Ext(name) != ".conf" {
			continue
		}
		for line := range strings.Lines(readText(root, path.Join(dir, name))) {
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); path.IsAbs(line) {
				folders = append(folders, path.Clean(line))
			}
		}
	}
	return folders
}
