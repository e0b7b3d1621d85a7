// Package checkout shows packages as real folders, where no file system can be mounted: <path>/<PID>/….
//
// A checkout is the folder of one package, made when it is asked for. Its files are hard links to the blobs of the store where that is possible, else
// clones that share the disk's blocks, else copies. An executable file is never a link to its blob, because a blob has one mode and may be a plain
// file elsewhere: its copy is made once and linked into each checkout. Folders have mode 0555 and files 0444 or 0555.
package checkout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// Store is the set of content store operations that a checkout needs. *cas.Store implements it and documents what each operation promises.
type Store interface {
	CID(p pir.PID) (cid.CID, error)
	Entries(ctx context.Context, root cid.CID) iter.Seq2[cas.Entry, error]
	BlobPath(c cid.CID) (string, error)
}

// Options configures Open. Store and Path must be set.
type Options struct {
	Store Store
	Path  string // the folder of the checkouts; an absolute path
	// Fetch brings back a package whose files are missing or damaged: root is the content that it has. Nil has nothing brought back.
	Fetch func(ctx context.Context, p pir.PID, root cid.CID) error
	// Log is for operators; nil discards.
	Log *slog.Logger
}

// The folders beside the checkouts.
const (
	madeDir = ".made" // for each whole checkout a file with its CID
	newDir  = ".new"  // checkouts that are being made or removed
	execDir = ".exec" // the copies of executable files, by the CID of the file
)

// Checkouts are the checkouts of one store. Methods may be called from many goroutines, of one process.
type Checkouts struct {
	o  Options
	mu sync.Mutex // makes and removes one at a time
}

// Open makes the folder if there is none, and removes what a crash has left half done.
func Open(o *Options) (*Checkouts, error) {
	c := &Checkouts{o: *o}
	if c.o.Log == nil {
		c.o.Log = slog.New(slog.DiscardHandler)
	}
	for _, name := range []string{"", madeDir, newDir, execDir} {
		if err := os.MkdirAll(c.path(name), 0o755); err != nil {
			return nil, fmt.Errorf("checkouts: %w", err)
		}
	}
	left, err := os.ReadDir(c.path(newDir))
	for _, e := range left {
		err = errors.Join(err, removeAll(c.path(newDir, e.Name())))
	}
	if err != nil {
		return nil, fmt.Errorf("checkouts: %w", err)
	}
	return c, nil
}

func (c *Checkouts) path(parts ...string) string {
	return filepath.Join(append([]string{c.o.Path}, parts...)...)
}

// Make makes the checkout of a package if there is none of its present content, and returns its path. After an error there is no checkout, or the
// one of an earlier content. cas.ErrNotFound: the store does not have the package. protocol.Unsupported: this file system cannot hold the names.
func (c *Checkouts) Make(ctx context.Context, p pir.PID) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	root, err := c.o.Store.CID(p)
	if err != nil {
		return "", err
	}
	path := c.path(p.String())
	made, err := os.ReadFile(c.path(madeDir, p.String()))
	if _, missing := os.Lstat(path); err == nil && string(made) == root.String() && missing == nil {
		return path, nil
	}
	err = c.make(ctx, p, root)
	if c.o.Fetch != nil && (errors.Is(err, cas.ErrNotFound) || errors.Is(err, cas.ErrDamaged)) {
		if err = c.o.Fetch(ctx, p, root); err == nil {
			err = c.make(ctx, p, root)
		}
	}
	if err != nil {
		return "", fmt.Errorf("check out %s: %w", p.Short(), err)
	}
	return path, nil
}

// make replaces the checkout of p by one of root.
func (c *Checkouts) make(ctx context.Context, p pir.PID, root cid.CID) error {
	dir, err := os.MkdirTemp(c.path(newDir), "")
	if err != nil {
		return err
	}
	defer removeAll(dir) //nolint:errcheck // the next Open removes what stays
	tree := filepath.Join(dir, "tree")
	folders, err := c.fill(ctx, tree, root)
	if err != nil {
		return err
	}
	for i := len(folders) - 1; i > 0; i-- { // the root last: a folder that is read-only cannot be moved
		if err := os.Chmod(folders[i], 0o555); err != nil {
			return err
		}
	}
	if err := c.remove(p); err != nil {
		return err
	}
	if err := atomicfile.Rename(tree, c.path(p.String())); err != nil {
		return err
	}
	if len(folders) > 0 {
		if err := os.Chmod(c.path(p.String()), 0o555); err != nil {
			return err
		}
	}
	return atomicfile.Write(c.path(madeDir, p.String()), []byte(root.String()))
}

// fill writes the tree of root to path, and returns its folders, each before those in it.
func (c *Checkouts) fill(ctx context.Context, path string, root cid.CID) (folders []string, err error) {
	for e, err := range c.o.Store.Entries(ctx, root) {
		if err != nil {
			return nil, err
		}
		to := path
		if e.Path != "" {
			to = filepath.Join(path, filepath.FromSlash(e.Path))
		}
		switch e.Kind {
		case cas.Dir:
			folders = append(folders, to)
			err = os.Mkdir(to, 0o755)
		case cas.Symlink:
			err = os.Symlink(e.Target, to)
		default:
			err = c.file(to, e)
		}
		if errors.Is(err, fs.ErrExist) {
			return nil, protocol.Errorf(protocol.Unsupported, "%q and %q are the same name on the file system of %s", e.Path, twin(to), c.o.Path).
				WithHint("move the home to a file system that tells upper from lower case: set NUKA_HOME")
		}
		if errors.Is(err, syscall.ENAMETOOLONG) {
			return nil, protocol.Errorf(protocol.Unsupported, "the path of %.80q… below %s is longer than this system allows", e.Path, c.o.Path).
				WithHint("a mount can show it: set mount: fuse in config.nuon where the system has FUSE, or use a home with a shorter path")
		}
		if err != nil {
			return nil, err
		}
	}
	return folders, nil
}

// twin returns the name that a file system has for a path.
func twin(path string) string {
	want, err := os.Lstat(path)
	list, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range list {
		if info, e2 := e.Info(); err == nil && e2 == nil && os.SameFile(want, info) {
			return e.Name()
		}
	}
	return filepath.Base(path)
}

func (c *Checkouts) file(to string, e cas.Entry) error {
	blob, err := c.o.Store.BlobPath(e.CID)
	if err != nil {
		return err
	}
	if !e.Exec {
		if err := os.Link(blob, to); err == nil || errors.Is(err, fs.ErrExist) {
			return err
		}
		return duplicate(blob, to, 0o444) // another file system, too many links, or no links at all
	}
	shared := c.path(execDir, e.CID.String())
	if _, err := os.Lstat(shared); errors.Is(err, fs.ErrNotExist) {
		temporary := filepath.Join(c.path(newDir), "exec-"+e.CID.String())
		if err := os.RemoveAll(temporary); err != nil {
			return err
		}
		if err := duplicate(blob, temporary, 0o555); err != nil {
			return err
		}
		if err := atomicfile.Rename(temporary, shared); err != nil {
			return err
		}
	}
	if err := os.Link(shared, to); err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	return duplicate(blob, to, 0o555)
}

// Gone removes checkouts, and copies that no checkout has any more.
func (c *Checkouts) Gone(list ...pir.PID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, p := range list {
		errs = append(errs, c.remove(p))
	}
	return errors.Join(append(errs, c.sweep())...)
}

// remove removes a checkout. Its record goes first: without one a checkout counts as half made.
func (c *Checkouts) remove(p pir.PID) error {
	if err := os.Remove(c.path(madeDir, p.String())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	path := c.path(p.String())
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		if err := os.Chmod(path, 0o755); err != nil { //nolint:gosec // it is about to go
			return err
		}
	}
	away := c.path(newDir, "gone-"+p.String())
	if err := removeAll(away); err != nil {
		return err
	}
	if err := atomicfile.Rename(path, away); err != nil {
		return err
	}
	return removeAll(away)
}

// sweep removes copies of executable files that no checkout has.
func (c *Checkouts) sweep() error {
	list, err := os.ReadDir(c.path(execDir))
	if err != nil {
		return err
	}
	for _, e := range list {
		info, err := e.Info()
		if err == nil && links(info) == 1 {
			err = os.Remove(c.path(execDir, e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Checked returns the packages that have a checkout.
func (c *Checkouts) Checked() ([]pir.PID, error) {
	list, err := os.ReadDir(c.path(madeDir))
	if err != nil {
		return nil, err
	}
	var found []pir.PID
	for _, e := range list {
		if id, err := pir.ParsePID(e.Name()); err == nil && !strings.HasPrefix(e.Name(), ".") {
			found = append(found, id)
		}
	}
	return found, nil
}

// removeAll removes a tree with read-only folders.
func removeAll(path string) error {
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(p, 0o755) //nolint:gosec // it is about to go
		}
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(path))
}

// duplicate makes a new file with the bytes of another, which shares its blocks where the file system can.
func duplicate(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if clone(out, in) != nil {
		_, err = out.ReadFrom(in)
	}
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Chmod(to, mode)
	}
	if err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}
