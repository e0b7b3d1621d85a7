package nu

import (
	"io/fs"
	"slices"
)

// LeftOut reports whether `fetch path` leaves an entry of a folder out: what git keeps of a repository's history, which is
// no source and differs between clones, and sockets, pipes and devices, which no package can hold. With all it takes the former.
func LeftOut(e fs.DirEntry, all bool) bool {
	switch e.Type() {
	case 0, fs.ModeDir, fs.ModeSymlink:
		return e.Name() == ".git" && !all
	}
	return true
}

// sources is a folder as `fetch path` takes it.
type sources struct {
	fs.FS
	all bool
}

// ReadDir implements fs.ReadDirFS.
func (s sources) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(s.FS, name)
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool { return LeftOut(e, s.all) }), err
}

// ReadLink implements fs.ReadLinkFS.
func (s sources) ReadLink(name string) (string, error) { return fs.ReadLink(s.FS, name) }

// Lstat implements fs.ReadLinkFS.
func (s sources) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(s.FS, name) }
