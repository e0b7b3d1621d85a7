package set

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/internal/ownfile"
	"github.com/MordragT/nuka/protocol"
)

const (
	listFile = "sets.nuon"
	maxList  = 4 << 20 // bytes of sets.nuon
	lockWait = 30 * time.Second
	// unfinished begins the names of what a change has not finished.
	unfinished = ".new-"
	indexEnd   = ".index"
)

// A Folder is the folder of a user's sets. Its methods may be called from several goroutines and processes.
type Folder struct {
	path string
	// before is called before each step of a change; its error becomes the step's. It may be nil. Tests of crashes use it.
	before func(step string) error
}

// Open returns the folder of sets at a path, which need not exist: then there are no sets. If another user owns it, the error has the
// code Denied.
func Open(path string) (*Folder, error) {
	f := &Folder{path: path}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f, nil
	case err != nil:
		return nil, f.failed(err)
	case !info.IsDir():
		return nil, protocol.Errorf(protocol.Damaged, "package sets: %s is no folder", path).WithHint("remove it, and add your sets again: nuka set add")
	}
	if user, ours := ownfile.Owner(info); !ours {
		return nil, protocol.Errorf(protocol.Denied, "package sets: %s belongs to the user %s", path, user).
			WithHint("run this command as that user, or choose another home: NUKA_HOME")
	}
	return f, nil
}

// failed adds a code and a hint to an error of the file system where the reason is known.
func (f *Folder) failed(err error) error {
	switch {
	case err == nil:
		return nil
	case protocol.CodeOf(err) != protocol.Internal:
		return err
	case errors.Is(err, fs.ErrPermission) || ownfile.ReadOnly(err):
		return protocol.Errorf(protocol.Denied, "package sets: %w", err).WithHint("the folder must be writable by its user: %s", f.path)
	}
	return fmt.Errorf("package sets: %w", err)
}

// ListOf returns the file that has the list of the sets in a folder. Without it there are none.
func ListOf(dir string) string { return filepath.Join(dir, listFile) }

// List returns the sets in order, without the embedded one. If sets.nuon was damaged, the error has the code Damaged.
func (f *Folder) List() ([]Set, error) {
	damaged := func(err error) error {
		return protocol.Errorf(protocol.Damaged, "%s: %w", filepath.Join(f.path, listFile), err).
			WithHint("remove the file, and add your sets again: nuka set add")
	}
	info, err := os.Lstat(filepath.Join(f.path, listFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, f.failed(err)
	case !info.Mode().IsRegular():
		return nil, damaged(errors.New("it is no file"))
	case info.Size() > maxList:
		return nil, damaged(errors.New("it is too large"))
	}
	text, err := os.ReadFile(filepath.Join(f.path, listFile))
	if err != nil {
		return nil, f.failed(err)
	}
	list, err := decodeList(text)
	if protocol.CodeOf(err) == protocol.Unsupported {
		return nil, err
	}
	if err != nil {
		return nil, damaged(err)
	}
	return list, nil
}

// Tree returns the folder of the tree of a set.
func (f *Folder) Tree(s *Set) string { return filepath.Join(f.path, s.Name, s.Root.String()) }

// Index reads the index of a set. If it is missing or damaged, the error has the code Damaged.
func (f *Folder) Index(s *Set) (*Index, error) {
	at := f.Tree(s) + indexEnd
	b, err := readFile(at)
	if err == nil {
		var x *Index
		if x, err = OpenIndex(b); err == nil {
			return x, nil
		}
	}
	return nil, protocol.Errorf(protocol.Damaged, "the index of the set %s: %w", s.Name, err).WithHint("make it again: nuka set update %s", s.Name)
}

func readFile(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file", path)
	case info.Size() > maxIndex:
		return nil, fmt.Errorf("%s has more than %d MiB", path, maxIndex>>20)
	}
	return os.ReadFile(path)
}

// A Lock is the right to change the sets. Close gives it back.
type Lock struct {
	*Folder
	f *os.File
}

// Lock makes the folder if it is missing, waits until no other process changes the sets, and removes what an interrupted change left.
// If another process does not end in time, the error has the code Busy.
func (f *Folder) Lock(ctx context.Context) (*Lock, error) {
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return nil, f.failed(err)
	}
	file, err := ownfile.Lock(ctx, filepath.Join(f.path, "lock"), lockWait, nil)
	switch {
	case errors.Is(err, ownfile.ErrBusy):
		return nil, protocol.Errorf(protocol.Busy, "another command changes the package sets").WithHint("try again when it has ended")
	case errors.Is(err, context.Canceled):
		return nil, err
	case err != nil:
		return nil, f.failed(err)
	}
	l := &Lock{f, file}
	if err := l.clean(); err != nil {
		return nil, errors.Join(f.failed(err), l.Close())
	}
	return l, nil
}

// Close gives the lock back.
func (l *Lock) Close() error { return l.f.Close() }

// clean removes what no set uses: what an interrupted change left, and old trees.
func (l *Lock) clean() error {
	list, err := l.List()
	if err != nil {
		return nil //nolint:nilerr // without the list nothing is known to be unused; the caller reads the list, too
	}
	used := map[string]bool{}
	for i := range list {
		at := l.Tree(&list[i])
		used[at], used[at+indexEnd], used[filepath.Dir(at)] = true, true, true
	}
	folders, err := os.ReadDir(l.path)
	if err != nil {
		return err
	}
	for _, e := range folders {
		at := filepath.Join(l.path, e.Name())
		switch {
		case e.IsDir() && used[at]:
			trees, err := os.ReadDir(at)
			if err != nil {
				return err
			}
			for _, tree := range trees {
				if inside := filepath.Join(at, tree.Name()); !used[inside] {
					err = errors.Join(err, os.RemoveAll(inside))
				}
			}
			if err != nil {
				return err
			}
		case e.IsDir() || strings.HasPrefix(e.Name(), unfinished):
			if err := os.RemoveAll(at); err != nil {
				return err
			}
		}
	}
	return nil
}

// step calls fn, unless a test stops here.
func (l *Lock) step(name string, fn func() error) error {
	if l.before != nil {
		if err := l.before(name); err != nil {
			return err
		}
	}
	return fn()
}

// write replaces sets.nuon. When it returns nil, the change is durable.
func (l *Lock) write(list []Set) error {
	text, err := encodeList(list)
	if err != nil {
		return protocol.Errorf(protocol.Invalid, "package sets: %w", err)
	}
	return l.step("list", func() error { return atomicfile.Write(filepath.Join(l.path, listFile), text) })
}

// Put stores the tree of a set and its index, and puts them into use: a set of that name is replaced in its place, a new one is the last,
// or with first the first. s.Root is the CID of the tree (Hash), which the caller has computed. If Put fails or is interrupted, the tree in use is the old or the new one.
func (l *Lock) Put(ctx context.Context, s *Set, tree fs.FS, index []byte, first bool) error {
	list, err := l.List()
	if err != nil {
		return err
	}
	at := l.Tree(s)
	err = l.step("folder", func() error { return os.MkdirAll(filepath.Dir(at), 0o755) })
	if _, e := os.Lstat(at); err == nil && errors.Is(e, fs.ErrNotExist) {
		temp := filepath.Join(filepath.Dir(at), unfinished+"tree")
		err = l.step("tree", func() error { return errors.Join(os.RemoveAll(temp), writeTree(tree, temp)) })
		if err == nil {
			err = sameTree(ctx, temp, s)
		}
		if err == nil {
			err = l.step("name", func() error { return atomicfile.Rename(temp, at) })
		}
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}
	if err == nil {
		err = l.step("index", func() error { return atomicfile.Write(at+indexEnd, index) })
	}
	if err == nil {
		err = atomicfile.SyncDir(l.path)
	}
	if err != nil {
		return l.failed(err)
	}
	if i := slices.IndexFunc(list, func(o Set) bool { return o.Name == s.Name }); i >= 0 {
		list[i] = *s
	} else if first {
		list = append([]Set{*s}, list...)
	} else {
		list = append(list, *s)
	}
	if err := l.write(list); err != nil {
		return l.failed(err)
	}
	return l.failed(l.clean())
}

// sameTree returns an error if a written tree is not that of a set: its origin changed after it was checked.
func sameTree(ctx context.Context, dir string, s *Set) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	id, err := Hash(ctx, root.FS())
	if err == nil && id != s.Root {
		err = protocol.Errorf(protocol.Mismatch, "package set %s: its files changed while they were read", s.Name).WithHint("try again when nothing writes to them")
	}
	return err
}

// Change calls fn for the set of a name and stores what fn changed. If there is none, the error has the code NotFound.
func (l *Lock) Change(name string, fn func(*Set)) error {
	list, i, err := l.find(name)
	if err != nil {
		return err
	}
	fn(&list[i])
	return l.failed(l.write(list))
}

// Remove removes a set.
func (l *Lock) Remove(name string) error {
	list, i, err := l.find(name)
	if err != nil {
		return err
	}
	if err := l.write(slices.Delete(list, i, i+1)); err != nil {
		return l.failed(err)
	}
	return l.failed(l.clean())
}

func (l *Lock) find(name string) ([]Set, int, error) {
	list, err := l.List()
	if err != nil {
		return nil, 0, err
	}
	i := slices.IndexFunc(list, func(s Set) bool { return s.Name == name })
	if i < 0 {
		return nil, 0, Unknown(name, list)
	}
	return list, i, nil
}

// Unknown returns the error for a name that no set has.
func Unknown(name string, list []Set) error {
	err := protocol.Errorf(protocol.NotFound, "there is no package set %.80q", name)
	if name == Embedded {
		return protocol.Errorf(protocol.Invalid, "the set %s is part of the command", Embedded).WithHint("it changes with a new version of nuka")
	}
	if len(list) == 0 {
		return err.WithHint("you have added none: nuka set add NAME WHERE")
	}
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Name
	}
	return err.WithHint("you have %s", strings.Join(names, ", "))
}
