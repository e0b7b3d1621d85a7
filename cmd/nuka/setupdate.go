package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/set"
)

// A setUpdate gets sets from their origins and puts them into use.
type setUpdate struct {
	a        *app
	lock     *set.Lock
	dryRun   bool
	first    bool // a new set is the first
	unsigned bool // a set without a signer is allowed: a folder, or one that was allowed when it was added
}

// updatedSet is the JSON form of what an update did to one set.
type updatedSet struct {
	Name     string       `json:"name"`
	Packages int          `json:"packages"`
	Number   int64        `json:"number,omitempty"`
	Pinned   bool         `json:"pinned,omitempty"`
	New      bool         `json:"new,omitempty"` // the set was added
	Changes  []setChanged `json:"changes"`
	Broken   []brokenFile `json:"broken,omitempty"`
}

type setChanged struct {
	Package string `json:"package"`
	Change  string `json:"change"` // added, removed, version or described
	Old     string `json:"old,omitempty"`
	New     string `json:"new,omitempty"`
}

type brokenFile struct {
	Package string `json:"package"`
	Problem string `json:"problem"`
}

// all updates sets one after the other. A set that fails leaves the others of the call untouched after it, and those before it updated.
func (u *setUpdate) all(ctx context.Context, sets []set.Set) error {
	out := []updatedSet{}
	if len(sets) == 0 && !u.a.json {
		u.a.say("no package set was added: only the one in nuka is in use")
	}
	for i := range sets {
		done, err := u.one(ctx, &sets[i])
		if err != nil {
			return err
		}
		if out = append(out, *done); !u.a.json {
			u.show(done)
		}
	}
	if u.a.json {
		return u.a.terminal.json(out)
	}
	return nil
}

// one updates a set, or adds it if it has no tree yet.
func (u *setUpdate) one(ctx context.Context, s *set.Set) (*updatedSet, error) {
	out := &updatedSet{Name: s.Name, Changes: []setChanged{}, New: s.Root.IsZero()}
	if s.Pinned {
		out.Pinned = true
		return out, nil
	}
	temp, err := os.MkdirTemp("", "nuka-set-")
	if err != nil {
		return nil, err
	}
	defer removeAll(temp)
	tree, err := u.a.obtain(ctx, s, temp)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeOf(err), "package set %s: %w", s.Name, err).WithHint("%s", protocol.AsError(err).Hint)
	}
	root, err := set.Hash(ctx, tree)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeOf(err), "package set %s: %w", s.Name, err).WithHint("%s", protocol.AsError(err).Hint)
	}
	before, complete := u.before(s)
	if err := u.signed(s, tree, func(h *protocol.SetHead) error { _, err := s.Advance(h, root, time.Now()); return err }); err != nil {
		return nil, err
	}
	out.Number = s.Number
	entries := before
	if root != s.Root || !complete {
		if entries, err = u.a.entries(ctx, tree); err != nil {
			return nil, err
		}
		u.a.addFiles(ctx, entries)
	}
	out.Packages = len(entries)
	for i := range entries {
		if entries[i].Broken != "" {
			out.Broken = append(out.Broken, brokenFile{entries[i].Path, entries[i].Broken})
		}
	}
	if !out.New {
		out.Changes = changesOf(set.Diff(before, entries))
	}
	if u.dryRun {
		return out, nil
	}
	index, err := set.BuildIndex(entries)
	if err != nil {
		return nil, protocol.Errorf(protocol.Exhausted, "package set %s: %w", s.Name, err)
	}
	s.Root, s.Updated = root, time.Now().UTC().Truncate(time.Second)
	return out, u.lock.Put(ctx, s, tree, index, u.first)
}

// before returns the packages of the tree in use, and whether that tree and its index are complete.
func (u *setUpdate) before(s *set.Set) ([]set.Entry, bool) {
	if s.Root.IsZero() {
		return nil, false
	}
	x, err := u.lock.Index(s)
	if err != nil {
		return nil, false
	}
	entries, err := x.Entries()
	if err != nil {
		return nil, false
	}
	_, err = os.Lstat(u.lock.Tree(s))
	return entries, err == nil
}

// signed calls check for the head of a set that has a signer. It refuses a set without one, unless that is allowed.
func (u *setUpdate) signed(s *set.Set, tree fs.FS, check func(*protocol.SetHead) error) error {
	if s.Signer.IsZero() && u.unsigned {
		return nil
	}
	h, err := set.ReadHead(tree)
	if s.Signer.IsZero() {
		return noSigner(s.Name, h)
	}
	if err != nil {
		e := protocol.AsError(err)
		return protocol.Errorf(e.Code, "package set %s: %w", s.Name, err).WithHint("%s", e.Hint)
	}
	return check(h)
}

// noSigner is the error for a set from another machine without --signer. h is its head, or nil.
func noSigner(name string, h *protocol.SetHead) error {
	err := protocol.Errorf(protocol.Denied, "package set %s: only a folder needs no signer", name)
	if h == nil {
		return err.WithHint("ask its author for the key, and add the set with --signer key-…; the author signs it: nuka set sign DIR")
	}
	return err.WithHint("its head is signed by %s: if that is the key of its author, add it with --signer %s", h.Signer, h.Signer)
}

func changesOf(list []set.Change) []setChanged {
	out := []setChanged{}
	for _, c := range list {
		switch {
		case c.Old == nil:
			out = append(out, setChanged{Package: c.Path, Change: "added", New: c.New.Version})
		case c.New == nil:
			out = append(out, setChanged{Package: c.Path, Change: "removed", Old: c.Old.Version})
		case c.Old.Version != c.New.Version:
			out = append(out, setChanged{Package: c.Path, Change: "version", Old: c.Old.Version, New: c.New.Version})
		case !samePID(c.Old, c.New):
			out = append(out, setChanged{Package: c.Path, Change: "described", Old: c.Old.Version, New: c.New.Version})
		}
	}
	return out
}

// show prints what an update did.
func (u *setUpdate) show(s *updatedSet) {
	a := u.a
	if s.Pinned {
		a.say("%s is pinned", s.Name)
		return
	}
	label := func(c *setChanged, version string) string {
		if version == "" {
			return c.Package
		}
		return c.Package + " " + version
	}
	for i := range s.Changes {
		text, c := "", &s.Changes[i]
		switch c.Change {
		case "added":
			text = "+ " + label(c, c.New)
		case "removed":
			text = "- " + label(c, c.Old)
		case "version":
			text = fmt.Sprintf("~ %s -> %s", label(c, c.Old), c.New)
		default:
			text = fmt.Sprintf("~ %s, described anew", label(c, c.New))
		}
		fmt.Fprintln(a.out, printable(s.Name+": "+text))
	}
	for _, b := range s.Broken {
		a.say("%s/%s cannot be evaluated: %s", s.Name, b.Package, b.Problem)
	}
	switch {
	case s.New:
		a.say("added %s: %s", s.Name, counted(s.Packages, "package"))
	case len(s.Changes) == 0:
		a.say("%s is up to date", s.Name)
	case u.dryRun:
		a.say("%s would change: %s", s.Name, counted(len(s.Changes), "package"))
	default:
		a.say("updated %s: %s changed", s.Name, counted(len(s.Changes), "package"))
	}
}
