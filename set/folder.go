package set

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/internal/ownlist"
	"github.com/MordragT/nuka/protocol"
)

const indexEnd = ".index"

// A Folder is the folder of a user's sets. Its methods may be called from several goroutines and processes.
type Folder struct{ *ownlist.Folder[Set] }

var form = &ownlist.Form[Set]{
	What: "package sets", Again: "add your sets again: nuka set add", Field: "sets", Most: MaxSets, Bytes: 4 << 20,
	Record: (*Set).record, From: setFrom, Check: (*Set).check, Unknown: Unknown,
	Name: func(s *Set) string { return s.Name },
	Used: func(s *Set) []string { return []string{s.Root.String(), s.Root.String() + indexEnd} },
}

// Open returns the folder of sets at a path, which need not exist: then there are no sets. If another user owns it, the error has the
// code Denied.
func Open(path string) (*Folder, error) {
	f, err := ownlist.Open(path, form)
	return &Folder{f}, err
}

// ListOf returns the file that has the list of the sets in a folder. Without it there are none.
func ListOf(dir string) string { return form.ListFile(dir) }

// Tree returns the folder of the tree of a set.
func (f *Folder) Tree(s *Set) string { return filepath.Join(f.Dir(s), s.Root.String()) }

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
	lock *ownlist.Lock[Set]
}

// Lock makes the folder if it is missing, waits until no other process changes the sets, and removes what an interrupted change left.
// If another process does not end in time, the error has the code Busy.
func (f *Folder) Lock(ctx context.Context) (*Lock, error) {
	l, err := f.Folder.Lock(ctx)
	if err != nil {
		return nil, err
	}
	return &Lock{f, l}, nil
}

// Close gives the lock back.
func (l *Lock) Close() error { return l.lock.Close() }

// Put stores the tree of a set and its index, and puts them into use: a set of that name is replaced in its place, a new one is the last,
// or with first the first. s.Root is the CID of the tree (Hash), which the caller has computed. If Put fails or is interrupted, the tree in use is the old or the new one.
func (l *Lock) Put(ctx context.Context, s *Set, tree fs.FS, index []byte, first bool) error {
	if _, err := l.List(); err != nil { // before anything is written
		return err
	}
	at := l.Tree(s)
	err := l.lock.Step("folder", func() error { return os.MkdirAll(filepath.Dir(at), 0o755) })
	if _, e := os.Lstat(at); err == nil && errors.Is(e, fs.ErrNotExist) {
		temp := filepath.Join(filepath.Dir(at), ownlist.Unfinished+"tree")
		err = l.lock.Step("tree", func() error { return errors.Join(os.RemoveAll(temp), writeTree(tree, temp)) })
		if err == nil {
			err = sameTree(ctx, temp, s)
		}
		if err == nil {
			err = l.lock.Step("name", func() error { return atomicfile.Rename(temp, at) })
		}
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}
	if err == nil {
		err = l.lock.Step("index", func() error { return atomicfile.Write(at+indexEnd, index) })
	}
	if err == nil {
		err = atomicfile.SyncDir(l.Path())
	}
	if err != nil {
		return l.Failed(err)
	}
	if err := l.lock.Put(s, first); err != nil {
		return err
	}
	return l.lock.Clean()
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
func (l *Lock) Change(name string, fn func(*Set)) error { return l.lock.Change(name, fn) }

// Remove removes a set.
func (l *Lock) Remove(name string) error { return l.lock.Remove(name) }

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
