package cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/MordragT/nuka/pir/cid"
)

// importsDir is the folder below tmp with one folder for each running import.
const importsDir = "imports"

// ImportOptions change one import. Nil is all zero.
type ImportOptions struct {
	// File imports one file of the tree as the root, instead of the whole tree.
	File string
	// Exec says whether a file is executable; nil: when any of its execute bits is set.
	// It is called from several goroutines.
	Exec func(path string, info fs.FileInfo) bool
}

// Import takes a tree into the store and returns its CID.
// When it returns without error, the whole tree is on disk and survives a power cut; otherwise none of it is in the store.
// It reads each file once and keeps what it has hashed, so a tree that changes meanwhile gives a CID of what was read.
// Names and files that no tree can hold are refused: see cid.CheckName and cid.CheckFile.
// fsys must implement fs.ReadLinkFS when it has symbolic links.
func (s *Store) Import(ctx context.Context, fsys fs.FS, o *ImportOptions) (cid.CID, error) {
	if err := s.enter(); err != nil {
		return cid.CID{}, fmt.Errorf("import: %w", err)
	}
	defer s.leave()
	if o == nil {
		o = &ImportOptions{}
	}
	im := &importing{s: s, ctx: ctx, claimed: map[cid.CID]bool{}, folders: map[string]bool{}, changes: s.change()}
	c, err := im.run(fsys, o)
	if err != nil {
		return cid.CID{}, fmt.Errorf("import: %w", err)
	}
	return c, nil
}

// importing is the state of one import.
type importing struct {
	s       *Store
	ctx     context.Context
	dir     string
	workers []importWorker
	failed  atomic.Bool // leave the folder for the next Open to find

	mu      sync.Mutex
	claimed map[cid.CID]bool
	folders map[string]bool // folders of blobs in which names were made
	changes *changes
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
	path string
	name cid.CID
	// placed says that the file was made under its final name. Renaming many small files takes as long as making
	// them, and what is not in the index yet is found by nobody: see place.
	placed bool
}

func (im *importing) run(fsys fs.FS, o *ImportOptions) (cid.CID, error) {
	s := im.s
	if err := s.checkSpace(); err != nil {
		return cid.CID{}, err
	}
	h := &cid.HashOptions{Exec: o.Exec, Limits: s.o.Limits, Workers: s.o.Workers}
	n := h.Workers
	if n <= 0 {
		n = defaultWorkers()
		h.Workers = n
	}
	im.nodes = map[cid.CID]bool{}
	im.dir = s.path(tmpDir, importsDir, strconv.FormatUint(s.imports.Add(1), 10))
	im.workers = make([]importWorker, n)
	for i := range im.workers {
		im.workers[i].dir = filepath.Join(im.dir, strconv.Itoa(i))
		if err := os.MkdirAll(im.workers[i].dir, 0o755); err != nil {
			return cid.CID{}, err
		}
	}
	c, err := im.take(fsys, o, h)
	if err == nil {
		err = im.ctx.Err()
	}
	if err == nil {
		err = im.finish()
	}
	if err != nil && !im.failed.Load() {
		im.unplace()
	}
	if im.failed.Load() {
		return cid.CID{}, err
	}
	e := s.step(StepRemove, im.dir)
	if e == nil {
		e = os.RemoveAll(im.dir)
	}
	if e != nil {
		s.log.Warn("temporary files are left over until the store is opened again", "path", im.dir, "error", e)
	}
	return c, err
}

// take reads the tree into temporary files and the changes.
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
	known, err := im.s.has(digestKey(keyNode, b.CID.Digest()))
	if err != nil || known || im.nodes[b.CID] {
		return err
	}
	im.nodes[b.CID] = true
	im.mu.Lock()
	defer im.mu.Unlock()
	im.changes.set(digestKey(keyNode, b.CID.Digest()), b.Data)
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
	err = im.claim(blob, int64(n), func() error { return im.small(w, blob, content) })
	if err != nil {
		return cid.DirEntry{}, 0, err
	}
	e := im.place(blob, []cid.Leaf{{CID: blob, Size: int64(n)}}, int64(n), exec)
	return e, int64(n), nil
}

// place records where the blocks of a file are.
func (im *importing) place(blob cid.CID, leaves []cid.Leaf, size int64, exec bool) cid.DirEntry {
	c, nodes := cid.FileNodes(leaves, exec)
	im.mu.Lock()
	defer im.mu.Unlock()
	placeFile(im.changes, blob, leaves, nodes)
	return cid.DirEntry{CID: c, Tsize: cid.Tsize(size, nodes)}
}

func placeFile(c *changes, blob cid.CID, leaves []cid.Leaf, nodes []cid.Block) {
	for _, n := range nodes {
		c.set(digestKey(keyNode, n.CID.Digest()), n.Data)
	}
	if len(leaves) > 1 {
		for _, l := range leaves {
			c.set(digestKey(keyLeaf, l.CID.Digest()), leafPlace{blob, l.Offset, l.Size}.encode())
		}
	}
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
	known, err := im.s.holds(blob, size)
	if known || err != nil {
		return err
	}
	if err := write(); err != nil {
		return err
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	im.changes.set(blobKey(keyBlob, blob), encodeSize(size))
	im.changes.del(blobKey(keyDamaged, blob))
	return nil
}

// holds says whether the store has the blob whole. A damaged one is set aside.
func (s *Store) holds(blob cid.CID, size int64) (bool, error) {
	known, err := s.blobSize(blob)
	if err != nil {
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrDamaged) {
			return false, nil
		}
		return false, err
	}
	if known != size {
		return false, nil
	}
	f, err := s.openBlob(blob, size)
	if err != nil {
		if errors.Is(err, ErrDamaged) {
			return false, nil
		}
		return false, err
	}
	return true, f.Close()
}

func (im *importing) create(w *importWorker) (*os.File, error) {
	path := w.next()
	if err := im.s.step(StepCreate, path); err != nil {
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

// createPlaced makes a file under the final name of a blob.
// Whoever finds that the name is taken makes a temporary file: the name may be that of another import,
// of one that was cut off, or of one that failed.
func (im *importing) createPlaced(w *importWorker, blob cid.CID) (f plainFile, path string, placed bool, err error) {
	path = im.s.blobPath(blob)
	if err := im.folder(filepath.Dir(path)); err != nil {
		return f, "", false, err
	}
	if err := im.s.step(StepCreate, path); err != nil {
		return f, "", false, err
	}
	f, err = createPlain(path)
	placed = err == nil
	if errors.Is(err, fs.ErrExist) {
		path = w.next()
		if err := im.s.step(StepCreate, path); err != nil {
			return f, "", false, err
		}
		f, err = createPlain(path)
	}
	return f, path, placed, err
}

// folder makes a folder for blobs and notes that it has a new name.
func (im *importing) folder(path string) error {
	im.mu.Lock()
	defer im.mu.Unlock()
	if im.folders[path] {
		return nil
	}
	if err := os.Mkdir(path, 0o755); err == nil {
		im.folders[filepath.Dir(path)] = true
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	im.folders[path] = true
	return nil
}

// unplace removes the files that a failed import has made under final names,
// but for those which another import has replaced by its own and committed meanwhile.
func (im *importing) unplace() {
	s := im.s
	s.placeMu.Lock() // nobody is between naming and commit
	defer s.placeMu.Unlock()
	for _, w := range im.workers {
		for _, b := range w.blobs {
			if !b.placed {
				continue
			}
			known, err := s.has(blobKey(keyBlob, b.name))
			if err == nil && !known {
				err = removeIfThere(b.path)
			}
			if err != nil {
				im.failed.Store(true)
				s.log.Warn("a file is left over until the store is opened again", "path", b.path, "error", err)
			}
		}
	}
}

func (im *importing) small(w *importWorker, blob cid.CID, content []byte) error {
	f, path, placed, err := im.createPlaced(w, blob)
	if err != nil {
		return err
	}
	w.blobs = append(w.blobs, newBlob{path, blob, placed})
	err = im.s.step(StepWrite, path)
	if err == nil {
		_, err = f.Write(content)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// finish makes the import durable and visible: sync, name, sync, commit.
func (im *importing) finish() error {
	var blobs []newBlob
	for _, w := range im.workers {
		blobs = append(blobs, w.blobs...)
	}
	s := im.s
	if len(blobs) == 0 && im.changes.b.Empty() {
		return nil
	}
	// What is written so far counts against the space that must stay free for the index.
	if err := s.checkSpace(); err != nil {
		return err
	}
	s.placeMu.RLock()
	defer s.placeMu.RUnlock()
	if len(blobs) > 0 {
		if err := im.name(blobs); err != nil {
			return err
		}
	}
	if err := s.commit(im.changes, durable); err != nil {
		im.failed.Store(true)
		return err
	}
	return nil
}

func (im *importing) name(blobs []newBlob) error {
	s := im.s
	paths := make([]string, len(blobs))
	for i, b := range blobs {
		paths[i] = b.path
	}
	if err := s.step(StepSync, im.dir); err != nil {
		return err
	}
	if err := syncPaths(s.dir, paths); err != nil {
		return err
	}
	// From here on blobs have names that no commit may ever know: the next Open must look for them.
	for _, b := range blobs {
		if b.placed {
			continue
		}
		if err := im.rename(b.path, s.blobPath(b.name)); err != nil {
			im.failed.Store(true)
			return err
		}
	}
	paths = paths[:0]
	for d := range im.folders {
		paths = append(paths, d)
	}
	slices.Sort(paths)
	if err := s.syncNames(paths); err != nil {
		im.failed.Store(true)
		return err
	}
	return nil
}

func (s *Store) syncNames(dirs []string) error {
	if err := s.step(StepSyncDir, s.path(blobsDir)); err != nil {
		return err
	}
	return syncPaths(s.dir, dirs)
}

func (im *importing) rename(from, to string) error {
	if err := im.folder(filepath.Dir(to)); err != nil {
		return err
	}
	if err := im.s.step(StepRename, to); err != nil {
		return err
	}
	return renameFile(from, to)
}
