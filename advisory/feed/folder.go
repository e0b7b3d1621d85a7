package feed

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/MordragT/nuka/internal/ownlist"
	"github.com/MordragT/nuka/protocol"
)

// A Folder is the folder of a user's feeds. Its methods may be called from several goroutines and processes.
type Folder struct{ *ownlist.Folder[Feed] }

// The list holds the numbers that must not go back. A tree stays for a minute after it went out of use: an audit may be reading it.
var form = &ownlist.Form[Feed]{
	What: "feeds", Again: "subscribe again: nuka advisories subscribe", Field: "feeds", Most: MaxFeeds, Bytes: 16 << 20, Keep: time.Minute,
	Record: (*Feed).record, From: feedFrom, Check: (*Feed).check, Unknown: Unknown,
	Name: func(f *Feed) string { return f.Name },
	Used: func(f *Feed) []string { return []string{f.Root.String()} },
}

// Open returns the folder of feeds at a path, which need not exist: then there are no feeds. If another user owns it, the error has the code Denied.
func Open(path string) (*Folder, error) {
	f, err := ownlist.Open(path, form)
	return &Folder{f}, err
}

// dir returns the folder of a feed's tree.
func (f *Folder) dir(s *Feed) string { return filepath.Join(f.Dir(s), s.Root.String()) }

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
	lock *ownlist.Lock[Feed]
}

// Lock makes the folder if it is missing, waits until no other process changes the feeds, and removes what an interrupted update left.
func (f *Folder) Lock(ctx context.Context) (*Lock, error) {
	l, err := f.Folder.Lock(ctx)
	if err != nil {
		return nil, err
	}
	return &Lock{f, l}, nil
}

// Close gives the lock back.
func (l *Lock) Close() error { return l.lock.Close() }

// put stores a feed in the list, in its place or as the last.
func (l *Lock) put(s *Feed) error { return l.lock.Put(s, false) }

// Remove removes a feed.
func (l *Lock) Remove(name string) error { return l.lock.Remove(name) }

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
