package elfdeps

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/MordragT/nuka/internal/lazyregexp"
)

// A Role is what an ELF file in an application's folder is for.
type Role int

// The roles, by what has to be there for them.
const (
	// Library is loaded by others, if at all.
	Library Role = iota
	// Plugin is opened by name while a program runs. The program may do without it.
	Plugin
	// Module is an extension of an interpreter, such as a Python or Node module: an import of it fails without what it needs.
	Module
	// Program can be started.
	Program
)

// A Member is an ELF file in a folder.
type Member struct {
	Path string // below the folder, with slashes
	Role Role
	*Binary
}

var module = lazyregexp.New(`[.](cpython-[^/]*|abi3|pypy[^/]*)[.]so$|[.]node$`)

// Members returns the ELF files below a folder of this machine, sorted by path. It follows no links and passes over files that it cannot read as ELF.
func Members(dir string, machineOnly func(*Binary) bool) ([]Member, error) {
	var out []Member
	needed := map[string]bool{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b := readHost(name)
		if b == nil || machineOnly != nil && !machineOnly(b) {
			return nil
		}
		at, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		out = append(out, Member{Path: filepath.ToSlash(at), Binary: b})
		for _, n := range b.Needed {
			needed[n] = true
		}
		return nil
	})
	for i := range out {
		m := &out[i]
		base := filepath.Base(m.Path)
		switch {
		case m.Interpreter != "":
			m.Role = Program
		case module().MatchString(base):
			m.Role = Module
		case needed[base] || needed[m.Soname]:
			m.Role = Library
		default:
			m.Role = Plugin
		}
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.Path, b.Path) })
	return out, err
}

// family matches the part of a library's name that libraries of one project share: libQt6 of libQt6Core.so.6.
var family = lazyregexp.New(`^lib(?:[A-Z][a-z]+[0-9]?|[a-z]+[0-9]*)`)

// Family returns the name that a library shares with others of its project, for the rule that a family which an application brings is never
// taken from elsewhere: two versions of one library in a process do not work, and symbol versions do not tell.
func Family(soname string) string {
	if f := family().FindString(soname); f != "" {
		return f
	}
	stem, _, _ := strings.Cut(soname, ".so")
	return stem
}

// driver matches libraries of a graphics card's driver, which must fit the kernel of the machine.
var driver = lazyregexp.New(`^lib(cuda|nvcuvid|nvoptix|nvidia-[a-z0-9-]+|GLX_nvidia|EGL_nvidia|GLESv[12](_CM)?_nvidia)[.]so`)

// Driver reports whether a library belongs to the driver of a graphics card. It comes from the machine itself, never from a package.
func Driver(soname string) bool { return driver().MatchString(soname) }

// readHost reads a file of this machine, or returns nil if it is no ELF program or library.
func readHost(name string) *Binary {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	b, err := Read(f, info.Size())
	if err != nil {
		return nil
	}
	return b
}
