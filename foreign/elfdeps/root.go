package elfdeps

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// A Root shows the files that a program will see. Paths are absolute and clean.
type Root interface {
	// Lstat is as os.Lstat, for a path whose folders are no links.
	Lstat(name string) (fs.FileInfo, error)
	// Readlink returns the target of a link.
	Readlink(name string) (string, error)
	// List returns the names in a folder.
	List(name string) ([]string, error)
	// Open opens a regular file for reading.
	Open(name string) (*os.File, error)
}

// Tree shows folders and files of this machine under the paths at which a program will see them. Its keys are clean absolute paths inside, its values are paths of this machine.
// The longest key that contains a path counts. A path that no key contains does not exist, but for the folders on the way to keys.
type Tree map[string]string

// Host returns the path on this machine of a path inside.
func (t Tree) Host(name string) (string, bool) {
	for at := name; ; at = path.Dir(at) {
		if dir, ok := t[at]; ok {
			return dir + strings.TrimPrefix(name, strings.TrimSuffix(at, "/")), true
		}
		if at == "/" {
			return "", false
		}
	}
}

// Lstat implements Root.
func (t Tree) Lstat(name string) (fs.FileInfo, error) {
	if at, ok := t.Host(name); ok {
		info, err := os.Lstat(at)
		if _, granted := t[name]; granted && err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return os.Stat(at) // what is bound is what the link names
		}
		return info, err
	}
	for at := range t {
		if strings.HasPrefix(at, strings.TrimSuffix(name, "/")+"/") {
			return folder(path.Base(name)), nil
		}
	}
	return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist}
}

// Readlink implements Root.
func (t Tree) Readlink(name string) (string, error) {
	at, ok := t.Host(name)
	if !ok {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrNotExist}
	}
	return os.Readlink(at)
}

// List implements Root.
func (t Tree) List(name string) ([]string, error) {
	at, ok := t.Host(name)
	if !ok {
		return nil, &fs.PathError{Op: "list", Path: name, Err: fs.ErrNotExist}
	}
	f, err := os.Open(at)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// Open implements Root.
func (t Tree) Open(name string) (*os.File, error) {
	at, ok := t.Host(name)
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return os.Open(at)
}

// maxLinks bounds the links on the way to a file, as Linux does.
const maxLinks = 40

// Resolve returns the path of the file or folder that name is, after all links. Links never lead out of the root.
func Resolve(root Root, name string) (string, fs.FileInfo, error) {
	rest := strings.Split(strings.Trim(name, "/"), "/")
	at, links := "/", 0
	var info fs.FileInfo = folder("/")
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		if !info.IsDir() {
			return "", nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("not a directory")}
		}
		next := path.Join(at, part)
		var err error
		if info, err = root.Lstat(next); err != nil {
			return "", nil, err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", nil, &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("more than %d links", maxLinks)}
		}
		target, err := root.Readlink(next)
		if err != nil {
			return "", nil, err
		}
		if path.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
		info = folder(at)
	}
	return at, info, nil
}

// ReadFile reads the headers of the file that name is, after all links, and returns its path.
func ReadFile(root Root, name string) (string, *Binary, error) {
	at, info, err := Resolve(root, name)
	if err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return at, nil, fmt.Errorf("%s: no regular file", name)
	}
	f, err := root.Open(at)
	if err != nil {
		return at, nil, err
	}
	defer f.Close()
	b, err := Read(f, info.Size())
	if err != nil {
		return at, nil, fmt.Errorf("%s: %w", name, err)
	}
	return at, b, nil
}

// A folder is the information of a folder that only leads to others.
type folder string

func (f folder) Name() string       { return string(f) }
func (f folder) Mode() fs.FileMode  { return fs.ModeDir | 0o755 }
func (f folder) IsDir() bool        { return true }
func (f folder) Size() int64        { return 0 }
func (f folder) ModTime() time.Time { return time.Time{} }
func (f folder) Sys() any           { return nil }
