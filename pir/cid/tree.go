package cid

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// ErrFileType is wrapped by errors about files that a tree cannot hold:
// devices, sockets, pipes, and setuid or setgid files.
var ErrFileType = errors.New("not a file, directory or symbolic link that a tree can hold")

// ErrLimit is wrapped by errors about trees larger than the limits.
var ErrLimit = errors.New("tree is larger than the limit")

// Limits bound a tree. A zero field means the value in its comment.
type Limits struct {
	Entries int   // files, directories and links: 10 million
	Depth   int   // directories inside one another: 256
	Bytes   int64 // all files together: 1 TiB
}

// WithDefaults returns the limits with zero fields replaced by their defaults.
func (l Limits) WithDefaults() Limits {
	if l.Entries == 0 {
		l.Entries = 10_000_000
	}
	if l.Depth == 0 {
		l.Depth = 256
	}
	if l.Bytes == 0 {
		l.Bytes = 1 << 40
	}
	return l
}

// HashOptions change how HashTree reads a tree. A nil *HashOptions is the zero value.
type HashOptions struct {
	// Exec reports whether a file is executable. If it is nil, a file is executable if any of its execute bits is set.
	// Several goroutines call it at once.
	Exec func(path string, info fs.FileInfo) bool
	// Limits bound the tree.
	Limits Limits
	// Workers is the number of files read at once; 0 means one for each processor.
	Workers int
	// Known returns the CID, the total size and the length of a file that need not be read. If it is nil, HashTree reads each file.
	// Several goroutines call it at once.
	Known func(path string) (e DirEntry, size int64, ok bool)
	// Hashed receives the CID and the total size of each file that HashTree has read; nil discards them.
	// Several goroutines call it at once.
	Hashed func(path string, e DirEntry)
}

// HashTree returns the CID that a store would give the tree.
// The names in the tree must satisfy CheckName. If it has symbolic links, fsys must implement fs.ReadLinkFS.
func HashTree(ctx context.Context, fsys fs.FS, o *HashOptions) (CID, error) {
	if o == nil {
		o = &HashOptions{}
	}
	workers := o.workers()
	buffers := make([][]byte, workers)
	file := func(worker int, name string, f fs.File, info fs.FileInfo, exec bool) (DirEntry, int64, error) {
		if buffers[worker] == nil {
			buffers[worker] = make([]byte, LeafSize)
		}
		b := NewFile(exec)
		// The struct hides the file's WriteTo, which would read in small pieces.
		if _, err := io.CopyBuffer(b, struct{ io.Reader }{&limited{ctx, f, o.Limits.WithDefaults().Bytes}}, buffers[worker]); err != nil {
			return DirEntry{}, 0, err
		}
		c, size, nodes, _ := b.Finish()
		e := DirEntry{CID: c, Tsize: Tsize(size, nodes)}
		if o.Hashed != nil {
			o.Hashed(name, e)
		}
		return e, size, nil
	}
	root, err := BuildTree(ctx, fsys, o, file, func(Block) error { return nil })
	return root.CID, err
}

func (o *HashOptions) workers() int {
	if o.Workers > 0 {
		return o.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// A limited reader returns an error at the limit or when ctx is done.
type limited struct {
	ctx  context.Context
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return n, ErrLimit
	}
	return n, err
}

// A FileFunc reads one file and returns its CID and total size, and its length.
// Workers call it in parallel, each with its number. The caller closes the file.
type FileFunc func(worker int, name string, f fs.File, info fs.FileInfo, exec bool) (DirEntry, int64, error)

// BuildTree reads a tree. It passes each file to file, and each node of a directory or link to node.
// One goroutine calls node, after all files, children before their parents.
// HashTree and stores are built on it. When it returns, all its goroutines have ended.
// The returned entry has the tree's CID and total size and no name.
func BuildTree(ctx context.Context, fsys fs.FS, o *HashOptions, file FileFunc, node func(Block) error) (DirEntry, error) {
	if o == nil {
		o = &HashOptions{}
	}
	t := &tree{fsys: fsys, o: o, limits: o.Limits.WithDefaults(), file: file}
	jobs := make(chan job, 256)
	g, running := errgroup.WithContext(ctx)
	for i := range o.workers() {
		g.Go(func() error {
			for j := range jobs {
				if err := running.Err(); err != nil {
					return err
				}
				if err := t.readFile(i, j); err != nil {
					return err
				}
			}
			return nil
		})
	}
	root := &dir{}
	g.Go(func() error {
		defer close(jobs)
		return t.walk(running, root, ".", 0, jobs)
	})
	if err := g.Wait(); err != nil {
		return DirEntry{}, err
	}
	return t.nodes(ctx, root, node)
}

// A tree is the state of one BuildTree.
type tree struct {
	fsys    fs.FS
	o       *HashOptions
	limits  Limits
	file    FileFunc
	entries int // only the walking goroutine uses it

	mu    sync.Mutex
	bytes int64
}

// A dir is a directory whose node is not made yet. Workers fill in the entries of files.
type dir struct {
	entries []DirEntry
	subdirs []subdir
	links   []subdir
}

type subdir struct {
	index  int
	dir    *dir
	target string
}

type job struct {
	name  string
	entry *DirEntry
}

func (t *tree) walk(ctx context.Context, d *dir, name string, depth int, jobs chan<- job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if depth > t.limits.Depth {
		return fmt.Errorf("read %s: %w: more than %d directories deep", name, ErrLimit, t.limits.Depth)
	}
	list, err := fs.ReadDir(t.fsys, name)
	if err != nil {
		return fmt.Errorf("read directory %s: %w", name, err)
	}
	if t.entries += len(list); t.entries > t.limits.Entries {
		return fmt.Errorf("read %s: %w: more than %d entries", name, ErrLimit, t.limits.Entries)
	}
	d.entries = make([]DirEntry, len(list))
	for i, e := range list {
		if err := CheckName(e.Name()); err != nil {
			return fmt.Errorf("read directory %s: %w", name, err)
		}
		child := e.Name()
		if name != "." {
			child = name + "/" + child
		}
		d.entries[i].Name = e.Name()
		switch e.Type() {
		case 0:
			select {
			case jobs <- job{child, &d.entries[i]}:
			case <-ctx.Done():
				return ctx.Err()
			}
		case fs.ModeDir:
			d.subdirs = append(d.subdirs, subdir{index: i, dir: &dir{}})
		case fs.ModeSymlink:
			target, err := fs.ReadLink(t.fsys, child)
			if err != nil {
				return fmt.Errorf("read link %s: %w", child, err)
			}
			if err := CheckTarget(target); err != nil {
				return fmt.Errorf("read link %s: %w", child, err)
			}
			d.links = append(d.links, subdir{index: i, target: target})
		default:
			return fmt.Errorf("read %s: %w: it is %s", child, ErrFileType, typeName(e.Type()))
		}
	}
	for _, s := range d.subdirs {
		if err := t.walk(ctx, s.dir, path.Join(name, d.entries[s.index].Name), depth+1, jobs); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) readFile(worker int, j job) error {
	var e DirEntry
	var size int64
	known := false
	if t.o.Known != nil {
		e, size, known = t.o.Known(j.name)
	}
	if !known {
		var err error
		if e, size, err = t.open(worker, j.name); err != nil {
			return fmt.Errorf("read %s: %w", j.name, err)
		}
	}
	j.entry.CID, j.entry.Tsize = e.CID, e.Tsize
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bytes += size; t.bytes > t.limits.Bytes {
		return fmt.Errorf("read %s: %w: more than %d bytes", j.name, ErrLimit, t.limits.Bytes)
	}
	return nil
}

// open opens a file and passes it to the tree's FileFunc.
func (t *tree) open(worker int, name string) (DirEntry, int64, error) {
	f, err := t.fsys.Open(name)
	if err != nil {
		return DirEntry{}, 0, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return DirEntry{}, 0, err
	}
	if err := CheckFile(info); err != nil {
		return DirEntry{}, 0, err
	}
	exec := info.Mode()&0o111 != 0
	if t.o.Exec != nil {
		exec = t.o.Exec(name, info)
	}
	return t.file(worker, name, f, info, exec)
}

// CheckFile returns an error that says why a tree cannot hold the file, or nil.
func CheckFile(info fs.FileInfo) error {
	m := info.Mode()
	switch {
	case !m.IsRegular():
		return fmt.Errorf("%w: it is %s", ErrFileType, typeName(m.Type()))
	case m&(fs.ModeSetuid|fs.ModeSetgid) != 0:
		return fmt.Errorf("%w: it is setuid or setgid", ErrFileType)
	}
	return nil
}

func typeName(m fs.FileMode) string {
	switch {
	case m&fs.ModeDir != 0:
		return "a directory"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m&fs.ModeDevice != 0:
		return "a device"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	}
	return "of type " + strings.TrimRight(m.String(), "-")
}

// nodes makes the nodes of d and of everything below it.
func (t *tree) nodes(ctx context.Context, d *dir, node func(Block) error) (DirEntry, error) {
	if err := ctx.Err(); err != nil {
		return DirEntry{}, err
	}
	for _, l := range d.links {
		c, b := Symlink(l.target)
		if err := node(b); err != nil {
			return DirEntry{}, err
		}
		d.entries[l.index].CID, d.entries[l.index].Tsize = c, int64(len(b.Data))
	}
	for _, s := range d.subdirs {
		e, err := t.nodes(ctx, s.dir, node)
		if err != nil {
			return DirEntry{}, err
		}
		d.entries[s.index].CID, d.entries[s.index].Tsize = e.CID, e.Tsize
	}
	c, blocks, err := Dir(d.entries)
	if err != nil {
		return DirEntry{}, err
	}
	e := DirEntry{CID: c}
	for _, child := range d.entries {
		e.Tsize += child.Tsize
	}
	for _, b := range blocks {
		e.Tsize += int64(len(b.Data))
		if err := node(b); err != nil {
			return DirEntry{}, err
		}
	}
	d.entries, d.subdirs, d.links = nil, nil, nil // free memory early in large trees
	return e, nil
}
