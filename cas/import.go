package cas

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir/cid"
)

// ImportOptions change one import. Nil is all zero.
type ImportOptions struct {
	// File imports one file of the tree as the root, instead of the whole tree.
	File string
	// Exec says whether a file is executable; nil: when any of its execute bits is set.
	// It is called from several goroutines.
	Exec func(path string, info fs.FileInfo) bool
	// Lease keeps the tree from the moment when it is in the store; nil: the next collection may remove it.
	Lease *Lease
}

// Import takes a tree into the store and returns its CID.
// When it returns without error, the whole tree is on disk and survives a power cut; otherwise none of it is in the store.
// It reads each file once and keeps the bytes that it hashed: if the tree changes meanwhile, the CID is that of the bytes read.
// It refuses names and files that no tree can hold: see cid.CheckName and cid.CheckFile.
// fsys must implement fs.ReadLinkFS when it has symbolic links.
func (s *Store) Import(ctx context.Context, fsys fs.FS, o *ImportOptions) (cid.CID, error) {
	if err := s.calls.Enter(); err != nil {
		return cid.CID{}, fmt.Errorf("import: %w", err)
	}
	defer s.calls.Leave()
	if o == nil {
		o = &ImportOptions{}
	}
	h := &cid.HashOptions{Exec: o.Exec, Limits: s.o.Limits, Workers: s.o.Workers}
	if h.Workers <= 0 {
		h.Workers = runtime.GOMAXPROCS(0)
	}
	im := s.importing(ctx, "an import")
	defer im.lease.Release()
	c, err := im.run(h.Workers, o.Lease, func() (cid.CID, error) { return im.take(fsys, o, h) })
	if err != nil {
		return cid.CID{}, fmt.Errorf("import: %w", err)
	}
	return c, nil
}

// importing begins an import. The caller releases its lease.
func (s *Store) importing(ctx context.Context, what string) *importing {
	return &importing{s: s, ctx: ctx, claimed: map[cid.CID]bool{}, changes: s.index.Change(), nodes: map[cid.CID]bool{}, lease: s.Lease(what)}
}

// importing is the state of one import.
type importing struct {
	s       *Store
	ctx     context.Context
	dir     string
	workers []importWorker
	folders disk.Folders
	failed  atomic.Bool // leave the folder for the next Open to find
	lease   *Lease      // on everything that the import finds in the store or makes

	room    *disk.Claim
	mu      sync.Mutex
	claimed map[cid.CID]bool
	changes *index.Changes
	nodes   map[cid.CID]bool
}

// An importWorker writes into a folder of its own: creating files in one folder is serial in the kernel.
type importWorker struct {
	dir   string
	count int
	buf   []byte
	blobs []newBlob
}

// A newBlob is a file that becomes a blob.
type newBlob struct {
	path   string
	name   cid.CID
	placed bool // the file was made under its final name: see disk.CreateBlob
}

// run stores the tree that take reads into files and the changes. l keeps it.
func (im *importing) run(workers int, l *Lease, take func() (cid.CID, error)) (cid.CID, error) {
	s := im.s
	if err := s.dir.CheckSpace(); err != nil {
		return cid.CID{}, err
	}
	im.room = s.dir.Claim()
	defer im.room.GiveBack()
	im.dir = s.dir.Path(disk.Tmp, disk.Imports, strconv.FormatUint(s.imports.Add(1), 10))
	im.workers = make([]importWorker, workers)
	for i := range im.workers {
		im.workers[i].dir = filepath.Join(im.dir, strconv.Itoa(i))
		if err := os.MkdirAll(im.workers[i].dir, 0o755); err != nil {
			return cid.CID{}, err
		}
	}
	defer im.disown()
	c, err := take()
	if err == nil {
		err = im.ctx.Err()
	}
	if err == nil {
		l.Keep(c)
		err = im.finish()
	}
	if err != nil && !im.failed.Load() {
		im.unplace()
	}
	if im.failed.Load() {
		return cid.CID{}, err
	}
	e := s.dir.Step(disk.StepRemove, im.dir)
	if e == nil {
		e = os.RemoveAll(im.dir)
	}
	if e != nil {
		s.log.Warn("temporary files are left over until the store is opened again", "path", im.dir, "error", e)
	}
	return c, err
}

// take reads the tree into files and the changes.
func (im *importing) take(fsys fs.FS, o *ImportOptions, h *cid.HashOptions) (cid.CID, error) {
	if o.File == "" {
		root, err := cid.BuildTree(im.ctx, fsys, h, im.file, im.node)
		return root.CID, err
	}
	f, err := fsys.Open(o.File)
	if err != nil {
		return cid.CID{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return cid.CID{}, err
	}
	if err := cid.CheckFile(info); err != nil {
		return cid.CID{}, fmt.Errorf("read %s: %w", o.File, err)
	}
	exec := info.Mode()&0o111 != 0
	if o.Exec != nil {
		exec = o.Exec(o.File, info)
	}
	e, _, err := im.file(0, o.File, f, info, exec)
	return e.CID, err
}

// node records a node of a directory or link.
func (im *importing) node(b cid.Block) error {
	im.lease.Keep(b.CID)
	known, err := im.s.index.Has(index.NodeKey(b.CID))
	if err != nil || known || im.nodes[b.CID] {
		return err
	}
	im.nodes[b.CID] = true
	im.mu.Lock()
	defer im.mu.Unlock()
	im.changes.Set(index.NodeKey(b.CID), b.Data)
	return nil
}

// file is the cid.FileFunc of an import.
func (im *importing) file(worker int, _ string, f fs.File, info fs.FileInfo, exec bool) (cid.DirEntry, int64, error) {
	w := &im.workers[worker]
	if w.buf == nil {
		w.buf = make([]byte, cid.LeafSize+1)
	}
	if err := im.ctx.Err(); err != nil {
		return cid.DirEntry{}, 0, err
	}
	n, err := io.ReadFull(f, w.buf)
	if err == nil {
		return im.large(w, f, info, w.buf, exec)
	}
	if err != io.EOF && err != io.ErrUnexpectedEOF {
		return cid.DirEntry{}, 0, err
	}
	content := w.buf[:n]
	blob := cid.Sum(cid.Raw, content)
	err = im.claim(blob, int64(n), func() error {
		if err := im.room.Take(int64(n), int64(n)); err != nil {
			return err
		}
		return im.small(w, blob, content)
	})
	if err != nil {
		return cid.DirEntry{}, 0, err
	}
	e := im.place(blob, []cid.Leaf{{CID: blob, Size: int64(n)}}, int64(n), exec)
	return e, int64(n), nil
}

// place records the places of the blocks of a file.
func (im *importing) place(blob cid.CID, leaves []cid.Leaf, size int64, exec bool) cid.DirEntry {
	c, nodes := cid.FileNodes(leaves, exec)
	for _, n := range nodes {
		im.lease.Keep(n.CID)
	}
	if len(leaves) > 1 {
		for _, l := range leaves {
			im.lease.Keep(l.CID)
		}
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	im.changes.SetFile(blob, leaves, nodes)
	return cid.DirEntry{CID: c, Tsize: cid.Tsize(size, nodes)}
}

// claim calls write unless the store or this import has the blob already.
func (im *importing) claim(blob cid.CID, size int64, write func() error) error {
	im.mu.Lock()
	if im.claimed[blob] {
		im.mu.Unlock()
		return nil
	}
	im.claimed[blob] = true
	im.mu.Unlock()
	im.lease.Keep(blob)
	known, err := im.s.blocks.Holds(blob, size)
	if known || err != nil {
		return err
	}
	if err := write(); err != nil {
		return err
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	im.changes.Set(index.BlobKey(blob), index.EncodeSize(size))
	im.changes.Delete(index.DamagedKey(blob))
	return nil
}

func (im *importing) create(w *importWorker) (*os.File, error) {
	path := w.next()
	if err := im.s.dir.Step(disk.StepCreate, path); err != nil {
		return nil, err
	}
	// 0444 counts from the next open on; this one may write.
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o444)
}

// next returns a name for a temporary file.
func (w *importWorker) next() string {
	w.count++
	return w.dir + string(filepath.Separator) + strconv.Itoa(w.count)
}
