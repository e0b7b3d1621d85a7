package feed

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
	listFile = "feeds.nuon"
	maxList  = 16 << 20 // bytes of feeds.nuon
	lockWait = 30 * time.Second
	// unfinished begins the names of what an update has not finished.
	unfinished = ".new-"
)

// A Folder is the folder of a user's feeds. Its methods may be called from several goroutines and processes.
type Folder struct {
	path string
	// before is called before each step of a change; its error becomes the step's. It may be nil. Tests of crashes use it.
	before func(step string) error
}

// Open returns the folder of feeds at a path, which need not exist: then there are no feeds. If another user owns it, the error has the code Denied.
func Open(path string) (*Folder, error) {
	f := &Folder{path: path}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f, nil
	case err != nil:
		return nil, f.failed(err)
	case !info.IsDir():
		return nil, protocol.Errorf(protocol.Damaged, "advisories: %s is no folder", path).WithHint("remove it, and subscribe again: nuka advisories subscribe")
	}
	if user, ours := ownfile.Owner(info); !ours {
		return nil, protocol.Errorf(protocol.Denied, "advisories: %s belongs to the user %s", path, user).
			WithHint("run this command as that user, or choose another home: NUKA_HOME")
	}
	return f, nil
}

// Path returns the path of the folder.
func (f *Folder) Path() string { return f.path }

func (f *Folder) failed(err error) error {
	switch {
	case err == nil:
		return nil
	case protocol.CodeOf(err) != protocol.Internal:
		return err
	case errors.Is(err, fs.ErrPermission) || ownfile.ReadOnly(err):
		return protocol.Errorf(protocol.Denied, "advisories: %w", err).WithHint("the folder must be writable by its user: %s", f.path)
	}
	return fmt.Errorf("advisories: %w", err)
}

// List returns the feeds. If feeds.nuon was damaged, the error has the code Damaged: it holds the numbers that must not go back.
func (f *Folder) List() ([]Feed, error) {
	at := filepath.Join(f.path, listFile)
	damaged := func(err error) error {
		return protocol.Errorf(protocol.Damaged, "%s: %w", at, err).WithHint("restore the file; or remove it, and subscribe again: nuka advisories subscribe")
	}
	info, err := os.Lstat(at)
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
	text, err := os.ReadFile(at)
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

// dir returns the folder of a feed's tree.
func (f *Folder) dir(s *Feed) string { return filepath.Join(f.path, s.Name, s.Root.String()) }

// Tree opens the tree of a feed. If it is missing or damaged, the error has the code Damaged.
func (f *Folder) Tree(s *Feed) (*Tree, error) {
	root, err := os.OpenRoot(f.dir(s))
	if err != nil {
		return nil, protocol.Errorf(protocol.Damaged, "feed %s: %w", s.Name, err).WithHint("get it again: nuka advisories update %s", s.Name)
	}
	t, err := OpenTree(root.FS())
	if err != nil {
		return nil, protocol.Errorf(protocol.Damaged, "feed %s: %w", s.Name, err).WithHint("get it again: nuka advisories update %s", s.Name)
	}
	return t, nil
}

// A Lock is the right to change the feeds. Close gives it back.
type Lock struct {
	*Folder
	f *os.File
}

// Lock makes the folder if it is missing, waits until no other process changes the feeds, and removes what an interrupted update left.
func (f *Folder) Lock(ctx context.Context) (*Lock, error) {
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return nil, f.failed(err)
	}
	file, err := ownfile.Lock(ctx, filepath.Join(f.path, "lock"), lockWait, nil)
	switch {
	case errors.Is(err, ownfile.ErrBusy):
		return nil, protocol.Errorf(protocol.Busy, "another command changes the feeds of advisories").WithHint("try again when it has ended")
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

// clean removes trees that no feed uses. A tree stays for a minute after it went out of use: an audit may be reading it.
func (l *Lock) clean() error {
	list, err := l.List()
	if err != nil {
		return nil //nolint:nilerr // without the list nothing is known to be unused; the caller reads the list, too
	}
	used := map[string]bool{}
	for i := range list {
		used[l.dir(&list[i])], used[filepath.Dir(l.dir(&list[i]))] = true, true
	}
	folders, err := os.ReadDir(l.path)
	if err != nil {
		return err
	}
	for _, e := range folders {
		at := filepath.Join(l.path, e.Name())
		if !e.IsDir() {
			continue
		}
		trees, err := os.ReadDir(at)
		if err != nil {
			return err
		}
		for _, tree := range trees {
			inside := filepath.Join(at, tree.Name())
			info, err := tree.Info()
			young := err == nil && time.Since(info.ModTime()) < time.Minute && !strings.HasPrefix(tree.Name(), unfinished)
			if !used[inside] && !young {
				if err := os.RemoveAll(inside); err != nil {
					return err
				}
			}
		}
		if !used[at] {
			_ = os.Remove(at) // if it is empty
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

// Write replaces the list of feeds. When it returns nil, the change is durable.
func (l *Lock) Write(list []Feed) error {
	text, err := encodeList(list)
	if err != nil {
		return protocol.Errorf(protocol.Invalid, "advisories: %w", err)
	}
	return l.failed(l.step("list", func() error { return atomicfile.Write(filepath.Join(l.path, listFile), text) }))
}

// put stores a feed in the list, in its place or as the last.
func (l *Lock) put(s *Feed) error {
	list, err := l.List()
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(list, func(o Feed) bool { return o.Name == s.Name }); i >= 0 {
		list[i] = *s
	} else {
		list = append(list, *s)
	}
	return l.Write(list)
}

// Remove removes a feed.
func (l *Lock) Remove(name string) error {
	list, err := l.List()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(s Feed) bool { return s.Name == name })
	if i < 0 {
		return Unknown(name, list)
	}
	if err := l.Write(slices.Delete(list, i, i+1)); err != nil {
		return err
	}
	return l.failed(os.RemoveAll(filepath.Join(l.path, name)))
}

// Unknown returns the error for a name that no feed has.
func Unknown(name string, list []Feed) error {
	err := protocol.Errorf(protocol.NotFound, "there is no feed %.80q", name)
	if len(list) == 0 {
		return err.WithHint("you follow none: nuka advisories subscribe WHERE")
	}
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Name
	}
	return err.WithHint("you follow %s", strings.Join(names, ", "))
}
