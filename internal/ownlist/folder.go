// Package ownlist keeps things that one user follows, package sets or feeds, in a folder of that user.
//
// A Folder has a list of the things in one file, and a folder of trees for each thing. A Form says what the things are.
// A Lock is the right to change them, which one process at a time has.
// A change writes a tree beside the one in use, and puts it into use with the list. So a crash leaves the old state or the new one.
package ownlist

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
	lockWait = 30 * time.Second
	// Unfinished begins the names of what a change has not finished.
	Unfinished = ".new-"
)

// A Folder is the folder of a user's things. Its methods may be called from several goroutines and processes.
type Folder[T any] struct {
	path string
	form *Form[T]
	// Before is called before each step of a change; its error becomes the step's. It may be nil. Tests of crashes use it.
	Before func(step string) error
}

// Open returns the folder at a path, which need not exist: then there are no things. If another user owns it, the error has the code Denied.
func Open[T any](path string, form *Form[T]) (*Folder[T], error) {
	f := &Folder[T]{path: path, form: form}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f, nil
	case err != nil:
		return nil, f.Failed(err)
	case !info.IsDir():
		return nil, protocol.Errorf(protocol.Damaged, "%s: %s is no folder", form.What, path).WithHint("remove it, and %s", form.Again)
	}
	if user, ours := ownfile.Owner(info); !ours {
		return nil, protocol.Errorf(protocol.Denied, "%s: %s belongs to the user %s", form.What, path, user).
			WithHint("run this command as that user, or choose another home: NUKA_HOME")
	}
	return f, nil
}

// Path returns the path of the folder.
func (f *Folder[T]) Path() string { return f.path }

// ListFile returns the file that has the list of a folder. Without it there are no things.
func (f *Form[T]) ListFile(dir string) string { return filepath.Join(dir, f.Field+".nuon") }

// Failed adds a code and a hint to an error of the file system where the reason is known.
func (f *Folder[T]) Failed(err error) error {
	switch {
	case err == nil:
		return nil
	case protocol.CodeOf(err) != protocol.Internal:
		return err
	case errors.Is(err, fs.ErrPermission) || ownfile.ReadOnly(err):
		return protocol.Errorf(protocol.Denied, "%s: %w", f.form.What, err).WithHint("the folder must be writable by its user: %s", f.path)
	}
	return fmt.Errorf("%s: %w", f.form.What, err)
}

// List returns the things in their order. If the list was damaged, the error has the code Damaged.
func (f *Folder[T]) List() ([]T, error) {
	at := f.form.ListFile(f.path)
	damaged := func(err error) error {
		return protocol.Errorf(protocol.Damaged, "%s: %w", at, err).WithHint("restore the file; or remove it, and %s", f.form.Again)
	}
	info, err := os.Lstat(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, f.Failed(err)
	case !info.Mode().IsRegular():
		return nil, damaged(errors.New("it is no file"))
	case info.Size() > f.form.Bytes:
		return nil, damaged(errors.New("it is too large"))
	}
	text, err := os.ReadFile(at)
	if err != nil {
		return nil, f.Failed(err)
	}
	list, err := f.form.Decode(text)
	if protocol.CodeOf(err) == protocol.Unsupported {
		return nil, err
	}
	if err != nil {
		return nil, damaged(err)
	}
	return list, nil
}

// Dir returns the folder of a thing's trees.
func (f *Folder[T]) Dir(one *T) string { return filepath.Join(f.path, f.form.Name(one)) }

// A Lock is the right to change the things. Close gives it back.
type Lock[T any] struct {
	*Folder[T]
	f *os.File
}

// Lock makes the folder if it is missing, waits until no other process changes the things, and removes what an interrupted change left.
// If another process does not end in time, the error has the code Busy.
func (f *Folder[T]) Lock(ctx context.Context) (*Lock[T], error) {
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return nil, f.Failed(err)
	}
	file, err := ownfile.Lock(ctx, filepath.Join(f.path, "lock"), lockWait, nil)
	switch {
	case errors.Is(err, ownfile.ErrBusy):
		return nil, protocol.Errorf(protocol.Busy, "another command changes the %s", f.form.What).WithHint("try again when it has ended")
	case errors.Is(err, context.Canceled):
		return nil, err
	case err != nil:
		return nil, f.Failed(err)
	}
	l := &Lock[T]{f, file}
	if err := l.Clean(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close gives the lock back.
func (l *Lock[T]) Close() error { return l.f.Close() }

// Clean removes what nothing uses: what an interrupted change left, and old trees.
func (l *Lock[T]) Clean() error {
	list, err := l.List()
	if err != nil {
		return nil //nolint:nilerr // without the list nothing is known to be unused; the caller reads the list, too
	}
	used := map[string]map[string]bool{}
	for i := range list {
		inside := map[string]bool{}
		for _, name := range l.form.Used(&list[i]) {
			inside[name] = true
		}
		used[l.form.Name(&list[i])] = inside
	}
	all, err := os.ReadDir(l.path)
	if err != nil {
		return l.Failed(err)
	}
	for _, e := range all {
		at := filepath.Join(l.path, e.Name())
		switch {
		case e.IsDir():
			if err := l.cleanFolder(at, used[e.Name()]); err != nil {
				return l.Failed(err)
			}
			if used[e.Name()] == nil {
				_ = os.Remove(at) // if it is empty
			}
		case strings.HasPrefix(e.Name(), Unfinished):
			if err := os.Remove(at); err != nil {
				return l.Failed(err)
			}
		}
	}
	return nil
}

func (l *Lock[T]) cleanFolder(dir string, used map[string]bool) error {
	inside, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range inside {
		if used[e.Name()] {
			continue
		}
		info, e2 := e.Info()
		if e2 == nil && !strings.HasPrefix(e.Name(), Unfinished) && time.Since(info.ModTime()) < l.form.Keep {
			continue
		}
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// Step calls fn, unless a test stops here.
func (l *Lock[T]) Step(name string, fn func() error) error {
	if l.Before != nil {
		if err := l.Before(name); err != nil {
			return err
		}
	}
	return fn()
}

// Write replaces the list. When it returns nil, the change is durable.
func (l *Lock[T]) Write(list []T) error {
	text, err := l.form.Encode(list)
	if err != nil {
		return protocol.Errorf(protocol.Invalid, "%s: %w", l.form.What, err)
	}
	return l.Failed(l.Step("list", func() error { return atomicfile.Write(l.form.ListFile(l.path), text) }))
}

// Put stores a thing in the list: in the place of the one with its name, or else as the last, or with first the first.
func (l *Lock[T]) Put(one *T, first bool) error {
	list, err := l.List()
	if err != nil {
		return err
	}
	name := l.form.Name(one)
	i := slices.IndexFunc(list, func(o T) bool { return l.form.Name(&o) == name })
	switch {
	case i >= 0:
		list[i] = *one
	case first:
		list = append([]T{*one}, list...)
	default:
		list = append(list, *one)
	}
	return l.Write(list)
}

// Change calls fn for the thing of a name, and stores what fn changed.
func (l *Lock[T]) Change(name string, fn func(*T)) error {
	list, i, err := l.find(name)
	if err != nil {
		return err
	}
	fn(&list[i])
	return l.Write(list)
}

// Remove removes a thing and its trees.
func (l *Lock[T]) Remove(name string) error {
	list, i, err := l.find(name)
	if err != nil {
		return err
	}
	at := l.Dir(&list[i])
	if err := l.Write(slices.Delete(list, i, i+1)); err != nil {
		return err
	}
	return l.Failed(os.RemoveAll(at))
}

func (l *Lock[T]) find(name string) ([]T, int, error) {
	list, err := l.List()
	if err != nil {
		return nil, 0, err
	}
	i := slices.IndexFunc(list, func(o T) bool { return l.form.Name(&o) == name })
	if i < 0 {
		return nil, 0, l.form.Unknown(name, list)
	}
	return list, i, nil
}
