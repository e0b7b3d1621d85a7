package nu

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/zeebo/blake3"
)

const (
	// maxSource bounds the text of one package file.
	maxSource = 4 << 20
	// maxLinks bounds the symbolic links on the way to one file.
	maxLinks = 40
)

// fileSet reads package files from mounts and records which ones.
type fileSet struct {
	mounts  []Mount
	reads   map[string][32]byte
	missing map[string]bool
}

func newFileSet(mounts []Mount) (*fileSet, error) {
	for i, m := range mounts {
		if !path.IsAbs(m.Path) || path.Clean(m.Path) != m.Path || m.Path == "/" || m.FS == nil {
			return nil, fmt.Errorf("mount %q: want an absolute clean path and a file system", m.Path)
		}
		for _, o := range mounts[:i] {
			if m.Path == o.Path || strings.HasPrefix(m.Path, o.Path+"/") || strings.HasPrefix(o.Path, m.Path+"/") {
				return nil, fmt.Errorf("mount %q: lies at or inside %q", m.Path, o.Path)
			}
		}
	}
	return &fileSet{mounts: mounts, reads: map[string][32]byte{}, missing: map[string]bool{}}, nil
}

// shown returns the name of a file for display.
func (f *fileSet) shown(file string) string {
	m, name, ok := f.mount(file)
	if !ok || m.Host == "" {
		return file
	}
	return path.Join(m.Host, name)
}

// mount returns the mount that holds a path, and the path in it.
func (f *fileSet) mount(p string) (Mount, string, bool) {
	for _, m := range f.mounts {
		if p == m.Path {
			return m, ".", true
		}
		if rest, ok := strings.CutPrefix(p, m.Path+"/"); ok {
			return m, rest, true
		}
	}
	return Mount{}, "", false
}

// loaded is a package file in the form that the embedded Nushell reads.
type loaded struct {
	Path  string `json:"path"`
	Shown string `json:"shown"` // its name for display
	Text  string `json:"text"`
}

// load resolves `use name` in the file from. An empty from means the file to evaluate.
func (f *fileSet) load(from, name string) (*loaded, error) {
	if strings.ContainsAny(name, "\\\x00") || !utf8.ValidString(name) || name == "" {
		return nil, refuse("", "module %q: no such name can be a package file's", name)
	}
	if from == "" {
		l, err := f.open(path.Clean(name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, refuse("", "%s: no such file", f.shown(path.Clean(name)))
		}
		return l, err
	}
	if path.IsAbs(name) {
		return nil, refuse("write it relative to this file, or as its name in the package set", "module %s: an absolute path means something else on every machine", name)
	}
	home, _, _ := f.mount(from)
	near := path.Join(path.Dir(from), name)
	outside := near != home.Path && !strings.HasPrefix(near, home.Path+"/")
	var candidates []string
	if !outside {
		candidates = append(candidates, near)
	}
	if !strings.HasPrefix(name, ".") {
		for _, m := range f.libraries(home) {
			if p := path.Join(m.Path, name); strings.HasPrefix(p, m.Path+"/") && p != near {
				candidates = append(candidates, p)
			}
		}
	}
	for _, c := range candidates {
		l, err := f.open(c)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return l, err
		}
	}
	if outside {
		return nil, refuse("package files see only the folder they are in and the package set", "module %s: leaves the folder %q", name, f.shown(home.Path))
	}
	help := "it is looked up beside this file, then in the package set"
	for _, c := range candidates {
		if m, rel, ok := f.mount(c + ".nu"); ok {
			if _, err := fs.Stat(m.FS, rel); err == nil {
				help = "did you mean " + name + ".nu?"
			}
		}
	}
	return nil, refuse(help, "module %s not found", name)
}

// libraries returns the libraries that the files of a mount see: all, but those of a library see only it and the libraries after it. So a
// library never gets a module of another one in place of its own.
func (f *fileSet) libraries(home Mount) []Mount {
	var out []Mount
	for _, m := range f.mounts {
		if home.Library && m.Path == home.Path {
			out = out[:0]
		}
		if m.Library {
			out = append(out, m)
		}
	}
	return out
}

// open reads the package file at a path, or the mod.nu of a folder. It records the file, or that there is none.
func (f *fileSet) open(p string) (*loaded, error) {
	m, name, ok := f.mount(p)
	if !ok {
		return nil, refuse("", "%s: not in a folder that evaluation sees", p)
	}
	name, err := resolve(m, name)
	if err == nil {
		var info fs.FileInfo
		if info, err = fs.Stat(m.FS, name); err == nil && info.IsDir() {
			f.missing[p] = true // if a file replaces the folder, the file would be read
			return f.open(path.Join(m.Path, name, "mod.nu"))
		}
	}
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			f.missing[p] = true
			return nil, fs.ErrNotExist
		}
		return nil, err
	}
	if path.Ext(name) != ".nu" {
		return nil, refuse("only package files can be used", "%s: its name does not end in .nu", f.shown(p))
	}
	text, err := readSource(m.FS, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.shown(p), err)
	}
	full := path.Join(m.Path, name)
	if full != p {
		// The path through the link matters too: record that the given name leads there.
		f.reads[p] = blake3.Sum256(text)
	}
	f.reads[full] = blake3.Sum256(text)
	return &loaded{Path: full, Shown: f.shown(full), Text: string(text)}, nil
}

func readSource(fsys fs.FS, name string) ([]byte, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errors.New("not a plain file"))
	}
	text, err := io.ReadAll(io.LimitReader(file, maxSource+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxSource:
		return nil, fmt.Errorf("package file is larger than %d MiB", maxSource>>20)
	case !utf8.Valid(text):
		return nil, errors.New("package file is not UTF-8")
	}
	return plainText(text), nil
}

// plainText removes a byte order mark and the carriage returns at line ends. Editors and git add both on some
// systems, and a package file must have the same meaning and the same PID on all. Lines and columns stay as users see them.
func plainText(text []byte) []byte {
	return bytes.ReplaceAll(bytes.TrimPrefix(text, []byte("\uFEFF")), []byte("\r\n"), []byte("\n"))
}

// resolve follows the symbolic links of a name within its mount.
func resolve(m Mount, name string) (string, error) {
	links, ok := m.FS.(fs.ReadLinkFS)
	if !ok {
		return name, nil
	}
	done := "."
	todo := strings.Split(name, "/")
	for n := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		if part == "." || part == "" {
			continue
		}
		if part == ".." {
			if done == "." {
				return "", refuse("a package set must contain all its files", "%s: a symbolic link leads out of %s", name, m.Path)
			}
			done = path.Dir(done)
			continue
		}
		next := path.Join(done, part)
		info, err := links.Lstat(next)
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			if len(todo) > 0 && !info.IsDir() {
				return "", fs.ErrNotExist
			}
			done = next
			continue
		}
		target, err := links.ReadLink(next)
		if err != nil {
			return "", err
		}
		if n++; n > maxLinks || path.IsAbs(target) || strings.Contains(target, "\\") {
			return "", refuse("a package set must contain all its files", "%s: a symbolic link leads out of %s", name, m.Path)
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return done, nil
}

// trace returns the files that were read and the paths where none was found, sorted.
func (f *fileSet) trace() ([]Read, []string) {
	var reads []Read
	for _, p := range slices.Sorted(maps.Keys(f.reads)) {
		reads = append(reads, Read{p, f.reads[p]})
	}
	return reads, slices.Sorted(maps.Keys(f.missing))
}
