package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/set"
	"github.com/MordragT/nuka/source"
)

// originHelp lists the forms of WHERE.
const originHelp = "WHERE is a folder, a git repository (git+https://…#REF), a ticket of nuka set publish or the key of an author in the swarm (key-…/NAME), or a ticket, PID or CID of a package that holds the set"

// setOrigin returns the form of WHERE that sets.nuon keeps, and whether it is a folder of this machine.
func setOrigin(where string) (from string, local bool, err error) {
	place, err := swarmPlaceOf(where, protocol.PublishedSet)
	switch {
	case err != nil:
		return "", false, err
	case place != nil || protocol.IsTicket(where) || isContent(where) || strings.HasPrefix(where, "git+"):
		return where, false, nil
	case strings.HasPrefix(where, "https://") || strings.HasPrefix(where, "http://"):
		return "git+" + where, false, nil
	case strings.Contains(where, "://"):
		return "", false, protocol.Errorf(protocol.Invalid, "package set: %.200q is no place that a set can come from", where).WithHint(originHelp)
	}
	at, err := filepath.Abs(where)
	if err != nil {
		return "", false, err
	}
	info, err := os.Stat(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", false, protocol.Errorf(protocol.NotFound, "package set: there is no folder %s", where).WithHint(originHelp)
	case err == nil && !info.IsDir():
		err = errors.New("it is no folder")
	}
	if err != nil {
		return "", false, protocol.Errorf(protocol.Invalid, "package set %s: %w", where, err).WithHint(originHelp)
	}
	return at, true, nil
}

func isContent(where string) bool {
	if _, err := pir.ParsePID(where); err == nil {
		return true
	}
	_, err := cid.Parse(where)
	return err == nil
}

// obtain returns the tree of a set from its origin. temp is an empty folder for a tree that is not on this machine.
func (a *app) obtain(ctx context.Context, s *set.Set, temp string) (fs.FS, error) {
	from := s.From
	if filepath.IsAbs(from) {
		return rootOf(from)
	}
	if a.offline {
		return nil, protocol.Errorf(protocol.Offline, "%.100s: the network is needed and may not be used", from).WithHint("run it without --offline")
	}
	out := filepath.Join(temp, source.Out)
	if address, ok := strings.CutPrefix(from, "git+"); ok {
		address, ref, _ := strings.Cut(address, "#")
		if ref == "" {
			ref = "HEAD"
		}
		f := source.New(&source.Options{Client: a.client()})
		origin := source.Origin{Kind: source.Git, URL: address, Flags: map[string]string{"rev": ref}}
		if _, err := f.Fetch(ctx, &source.Request{Origins: []source.Origin{origin}, Dir: temp}); err != nil {
			return nil, err
		}
		return rootOf(out)
	}
	if place, err := swarmPlaceOf(from, protocol.PublishedSet); err != nil || place != nil {
		if err == nil {
			err = a.obtainSet(ctx, s, out)
		}
		if err != nil {
			return nil, err
		}
		return rootOf(out)
	}
	client, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	progress := newProgress(a.terminal, false)
	var got protocol.Realized
	err = client.Call(ctx, protocol.OpGet, protocol.GetArgs{What: from}, &got, &control.CallOptions{Event: progress.event})
	progress.close()
	if err != nil {
		return nil, err
	}
	if len(got.Outputs) != 1 {
		return nil, protocol.Errorf(protocol.Invalid, "package set: %.40s… names %d contents, and a set is one", from, len(got.Outputs))
	}
	t := &treeCopy{client: client}
	if err := t.folder(ctx, got.Outputs[0].CID, out, 0); err != nil {
		return nil, err
	}
	return rootOf(out)
}

// rootOf returns the files of a folder, whose links cannot lead out of it.
func rootOf(dir string) (fs.FS, error) {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = errors.New("it is a file")
	}
	if err != nil {
		return nil, protocol.Errorf(protocol.NotFound, "package set: %s: %w", dir, err).WithHint(originHelp)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, protocol.Errorf(protocol.Denied, "package set: %w", err).WithHint("the folder must be readable")
	}
	return root.FS(), nil
}

// A treeCopy copies a tree from the node's store to a folder, within the limits of sets.
type treeCopy struct {
	client  *control.Client
	entries int
	bytes   int64
}

func (t *treeCopy) folder(ctx context.Context, id, to string, depth int) error {
	list, err := readFolder(ctx, t.client, id)
	if err != nil {
		return err
	}
	if t.entries += len(list); t.entries > set.MaxEntries || depth > set.MaxDepth {
		return protocol.Errorf(protocol.Exhausted, "the set has more than %d files, or more than %d folders inside one another", set.MaxEntries, set.MaxDepth)
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	for i := range list {
		e := &list[i]
		if err := cid.CheckName(e.Path); err != nil {
			return protocol.Errorf(protocol.Invalid, "package set: %w", err)
		}
		at := filepath.Join(to, e.Path)
		if !filepath.IsLocal(e.Path) {
			return protocol.Errorf(protocol.Invalid, "the set has the name %q, which this system does not allow", e.Path)
		}
		switch e.Kind {
		case protocol.KindDir:
			err = t.folder(ctx, e.CID, at, depth+1)
		case protocol.KindSymlink:
			err = os.Symlink(e.Target, at)
		case protocol.KindFile:
			err = t.file(ctx, e, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *treeCopy) file(ctx context.Context, e *protocol.Entry, at string) error {
	if t.bytes += e.Size; t.bytes > set.MaxBytes {
		return protocol.Errorf(protocol.Exhausted, "the set has more than %d MiB", set.MaxBytes>>20)
	}
	c, err := cid.Parse(e.CID)
	if err != nil {
		return err
	}
	if err := download(ctx, t.client, c, at); err != nil || !e.Exec {
		return err
	}
	return os.Chmod(at, 0o700)
}
