package realize

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A union is the merged view of trees in a store, as a file system to import.
type union struct {
	ctx     context.Context
	store   Trees
	entries map[string]cas.Entry // by path; "." is the root
	lists   map[string][]string  // names in a folder, sorted
}

// newUnion merges trees. Folders are merged; a file or link may be in several trees if it is the same in all.
func newUnion(ctx context.Context, store Trees, names []string, roots []cid.CID) (*union, error) {
	u := &union{ctx: ctx, store: store, entries: map[string]cas.Entry{}, lists: map[string][]string{}}
	from := map[string]string{}
	for i, root := range roots {
		for e, err := range store.Entries(ctx, root) {
			if err != nil {
				return nil, err
			}
			at := e.Path
			if at == "" {
				at = "."
				if e.Kind != cas.Dir {
					return nil, protocol.Errorf(protocol.Invalid, "environment: %s is a single file, which cannot be merged", names[i])
				}
			}
			have, taken := u.entries[at]
			if taken && e.Kind == cas.Dir && have.Kind == cas.Dir {
				continue
			}
			if taken && (e.Kind != have.Kind || e.CID != have.CID) {
				return nil, protocol.Errorf(protocol.Invalid, "environment: %s and %s both have %s, and they differ", from[at], names[i], at).
					WithHint("leave one of them out")
			}
			if taken {
				continue
			}
			u.entries[at], from[at] = e, names[i]
			if at != "." {
				u.lists[path.Dir(at)] = append(u.lists[path.Dir(at)], path.Base(at))
			}
		}
	}
	for _, list := range u.lists {
		slices.Sort(list)
	}
	return u, nil
}

func (u *union) lookup(op, name string) (cas.Entry, error) {
	e, ok := u.entries[name]
	if !ok {
		return cas.Entry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return e, nil
}

// Open implements fs.FS.
func (u *union) Open(name string) (fs.File, error) {
	e, err := u.lookup("open", name)
	if err != nil {
		return nil, err
	}
	info := unionInfo{path.Base(name), e}
	if e.Kind == cas.Dir {
		return &unionDir{info, u, name}, nil
	}
	f, err := u.store.OpenFile(u.ctx, e.CID)
	return unionFile{f, info}, err
}

// ReadDir implements fs.ReadDirFS.
func (u *union) ReadDir(name string) ([]fs.DirEntry, error) {
	list := make([]fs.DirEntry, len(u.lists[name]))
	for i, child := range u.lists[name] {
		list[i] = fs.FileInfoToDirEntry(unionInfo{child, u.entries[path.Join(name, child)]})
	}
	return list, nil
}

// ReadLink implements fs.ReadLinkFS.
func (u *union) ReadLink(name string) (string, error) {
	e, err := u.lookup("readlink", name)
	return e.Target, err
}

// Lstat implements fs.ReadLinkFS.
func (u *union) Lstat(name string) (fs.FileInfo, error) {
	e, err := u.lookup("lstat", name)
	return unionInfo{path.Base(name), e}, err
}

type unionInfo struct {
	name string
	e    cas.Entry
}

func (i unionInfo) Name() string       { return i.name }
func (i unionInfo) Size() int64        { return i.e.Size }
func (i unionInfo) ModTime() time.Time { return time.Time{} }
func (i unionInfo) IsDir() bool        { return i.e.Kind == cas.Dir }
func (i unionInfo) Sys() any           { return nil }

func (i unionInfo) Mode() fs.FileMode {
	switch {
	case i.e.Kind == cas.Dir:
		return fs.ModeDir | 0o755
	case i.e.Kind == cas.Symlink:
		return fs.ModeSymlink | 0o777
	case i.e.Exec:
		return 0o755
	}
	return 0o644
}

type unionFile struct {
	*os.File
	info unionInfo
}

func (f unionFile) Stat() (fs.FileInfo, error) { return f.info, nil }

type unionDir struct {
	info unionInfo
	u    *union
	name string
}

func (d *unionDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *unionDir) Close() error               { return nil }
func (d *unionDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: errors.New("is a directory")}
}

// ReadDir implements fs.ReadDirFile, only for a single read of all entries.
func (d *unionDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 {
		return nil, io.EOF
	}
	return d.u.ReadDir(d.name)
}
