package statcache

import (
	"context"
	"encoding/hex"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/pir/cid"
)

// A Cache is a folder of records. It creates the folder when it writes the first record. Several processes may use it.
// Only users that its owner trusts may write there, because a record decides which content a package gets.
type Cache struct {
	Dir string

	now func() time.Time // for tests; nil is time.Now
}

// A Tree is a folder of the host, or a part of it.
type Tree struct {
	Folder string // its absolute path
	// FS is the view of the folder that is hashed. It must list the names that os.DirFS(Folder) lists, or fewer.
	FS fs.FS
	// Variant distinguishes several views of one folder.
	Variant string
	// Listed reports that the names in FS depend on more than the names in the folder, so that each folder must be listed again.
	Listed bool
}

// Hash returns the CID of a tree, with the result and the errors of cid.HashTree.
// A record that is missing, damaged or cannot be written costs time but is no error.
func (c *Cache) Hash(ctx context.Context, t *Tree) (cid.CID, error) {
	if !supported {
		return cid.HashTree(ctx, t.FS, nil)
	}
	name := c.path(t)
	old := readRecord(name)
	if old != nil && !t.Listed && old.unchanged(ctx, t.Folder) {
		_ = os.Chtimes(name, time.Time{}, time.Now()) // so that cleanup by age does not remove it
		return old.root, nil
	}
	r := &reading{FS: t.FS, folder: t.Folder, old: old, now: c.now, dirs: map[string]*dirRecord{}}
	if r.now == nil {
		r.now = time.Now
	}
	root, err := cid.HashTree(ctx, r, &cid.HashOptions{Known: r.known, Hashed: r.hashed})
	if err != nil {
		return cid.CID{}, err
	}
	now := record{root: root, dirs: r.dirs}
	if b := now.encode(); len(b) <= maxRecord && os.MkdirAll(filepath.Dir(name), 0o755) == nil {
		_ = atomicfile.Replace(name, b)
	}
	return root, nil
}

// path returns the path of a tree's record.
func (c *Cache) path(t *Tree) string {
	sum := blake3.Sum256([]byte(t.Folder + "\x00" + t.Variant))
	return filepath.Join(c.Dir, hex.EncodeToString(sum[:16]))
}

// reading is the file system of a tree during a read. It records the stat of everything that HashTree reads, before HashTree
// reads it.
type reading struct {
	fs.FS
	folder string
	old    *record
	now    func() time.Time

	mu   sync.Mutex
	dirs map[string]*dirRecord
}

// ReadDir implements fs.ReadDirFS.
func (r *reading) ReadDir(name string) ([]fs.DirEntry, error) {
	d := &dirRecord{name: name, stat: r.stat(name)}
	list, err := fs.ReadDir(r.FS, name)
	if err != nil {
		return nil, err
	}
	d.entries = make([]entryRecord, len(list))
	for i, e := range list {
		d.entries[i].name = e.Name()
		switch e.Type() {
		case fs.ModeDir:
			d.entries[i].kind = kindDir
		case fs.ModeSymlink:
			d.entries[i].kind = kindLink
		default:
			d.entries[i].kind = kindFile
		}
	}
	slices.SortFunc(d.entries, func(a, b entryRecord) int { return strings.Compare(a.name, b.name) })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dirs[name] = d
	return list, nil
}

// ReadLink implements fs.ReadLinkFS.
func (r *reading) ReadLink(name string) (string, error) {
	if e := r.entry(name); e != nil {
		e.stat = r.stat(name)
	}
	return fs.ReadLink(r.FS, name)
}

// Lstat implements fs.ReadLinkFS.
func (r *reading) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(r.FS, name) }

// known implements cid.HashOptions.Known: it returns the old record's entry of an unchanged file.
func (r *reading) known(name string) (cid.DirEntry, int64, bool) {
	e := r.entry(name)
	if e == nil {
		return cid.DirEntry{}, 0, false
	}
	e.stat = r.stat(name)
	if r.old == nil {
		return cid.DirEntry{}, 0, false
	}
	was := r.old.dirs[path.Dir(name)].entry(e.name)
	if was == nil || was.kind != kindFile || !was.stat.same(&e.stat) {
		return cid.DirEntry{}, 0, false
	}
	e.cid, e.tsize = was.cid, was.tsize
	return cid.DirEntry{CID: e.cid, Tsize: e.tsize}, e.stat.size, true
}

// hashed implements cid.HashOptions.Hashed.
func (r *reading) hashed(name string, d cid.DirEntry) {
	if e := r.entry(name); e != nil {
		e.cid, e.tsize = d.CID, d.Tsize
	}
}

// entry returns the entry of a name in a listed folder.
func (r *reading) entry(name string) *entryRecord {
	r.mu.Lock()
	d := r.dirs[path.Dir(name)]
	r.mu.Unlock()
	return d.entry(path.Base(name))
}

// stat returns the current stat of a name. If the file does not exist or is racy, the result equals no other.
func (r *reading) stat(name string) stat {
	now := r.now()
	s, err := lstat(filepath.Join(r.folder, filepath.FromSlash(name)))
	if err != nil || s.racy(now) {
		s.never = true
	}
	return s
}

// entry returns the entry of a folder with the given name, or nil. A nil folder has none.
func (d *dirRecord) entry(name string) *entryRecord {
	if d == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(d.entries, name, func(e entryRecord, name string) int { return strings.Compare(e.name, name) })
	if !ok {
		return nil
	}
	return &d.entries[i]
}
