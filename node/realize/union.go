package realize

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
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

// A part is one package of a union.
type part struct {
	name  string
	root  cid.CID
	merge pir.Merge
}

// newUnion merges the trees of parts. Folders are merged; a file or link may be in several trees if it is the same in all.
// If two trees differ at a path, the part of the larger priority provides it.
func newUnion(ctx context.Context, store Trees, parts []part) (*union, error) {
	u := &union{ctx: ctx, store: store, entries: map[string]cas.Entry{".": {Kind: cas.Dir}}, lists: map[string][]string{}}
	parts = slices.Clone(parts)
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(b.merge.Priority, a.merge.Priority) })
	from := map[string]*part{".": {}}
	for i := range parts {
		if err := u.add(&parts[i], from); err != nil {
			return nil, err
		}
	}
	for _, list := range u.lists {
		slices.Sort(list)
	}
	return u, nil
}

// add adds the tree of a part. from holds the part that provides each path.
func (u *union) add(p *part, from map[string]*part) error {
	for e, err := range u.store.Entries(u.ctx, p.root) {
		if err != nil {
			return err
		}
		if e.Path == "" {
			if e.Kind != cas.Dir {
				return protocol.Errorf(protocol.Invalid, "environment: %s is a single file, which cannot be merged", p.name)
			}
			continue
		}
		at, kept := p.merge.Path(e.Path)
		if !kept {
			continue
		}
		hidden := false
		for _, dir := range parents(at) { // they may be new: a renamed path
			if hidden, err = u.put(p, dir, cas.Entry{Kind: cas.Dir}, from); hidden || err != nil {
				break
			}
		}
		if err == nil && !hidden {
			_, err = u.put(p, at, e, from)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// put adds an entry. It reports true if a part of a larger priority provides something else there.
func (u *union) put(p *part, at string, e cas.Entry, from map[string]*part) (hidden bool, err error) {
	have, taken := u.entries[at]
	if !taken {
		u.entries[at], from[at] = e, p
		u.lists[path.Dir(at)] = append(u.lists[path.Dir(at)], path.Base(at))
		return false, nil
	}
	if e.Kind == have.Kind && (e.Kind == cas.Dir || e.CID == have.CID) {
		return false, nil
	}
	other := from[at]
	switch {
	case other == p:
		return false, protocol.Errorf(protocol.Invalid, "environment: two files of %s become %s", p.name, at).WithHint("rename one of them to another name")
	case other.merge.Priority > p.merge.Priority:
		return true, nil
	}
	return false, protocol.Errorf(protocol.Invalid, "environment: %s and %s both have %s, and they differ", other.name, p.name, at).
		WithHint("let one of them win, leave the file out, or rename it: --priority 1, --leave %s, --rename %s=NAME; in a package file: the field merge", at, at)
}

// parents returns the folders on the way to a path, outermost first.
func parents(at string) (dirs []string) {
	for i := range len(at) {
		if at[i] == '/' {
			dirs = append(dirs, at[:i])
		}
	}
	return dirs
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
