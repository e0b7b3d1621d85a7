package realize

import (
	"context"
	"io"
	"maps"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/fhs"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// merge makes the environment of packages: metadata only. If two packages have different files at one path, and none of them has the larger
// priority, that is an error.
func (w *work) merge(ctx context.Context) (made, error) {
	store := w.g.r.o.Store
	var packages []fhs.Package
	var parts []cid.CID
	var refs []pir.PID
	for _, name := range slices.Sorted(maps.Keys(w.pir.Packages)) {
		id := w.pir.Packages[name]
		parts = append(parts, w.contents[id])
		packages = append(packages, fhs.Package{Name: name, Merge: w.pir.Merge[name]})
		of, err := w.g.r.Refs(id)
		if err != nil {
			return made{}, err
		}
		refs = append(refs, of...)
	}
	content, tree, err := compose(ctx, store, w.pir.Layout, packages, &cas.ComposeOptions{Parts: parts, Lease: w.g.req.Lease})
	if err != nil {
		return made{}, err
	}
	for _, note := range tree.Notes {
		w.g.event(protocol.Event{Kind: protocol.EventNote, PID: w.id, Name: w.name, What: pir.Env, Text: note})
	}
	return made{cid: content, refs: protocol.SortRefs(refs), size: tree.Size, way: protocol.Merged}, nil
}

// A composer is the set of operations that composing a tree needs.
type composer interface {
	Trees
	Compose(ctx context.Context, pieces []cas.Piece, o *cas.ComposeOptions) (cid.CID, error)
}

// compose stores the tree of packages, whose trees are o.Parts, and returns it.
func compose(ctx context.Context, store composer, layout pir.Layout, packages []fhs.Package, o *cas.ComposeOptions) (cid.CID, *fhs.Tree, error) {
	g, reading := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range packages {
		g.Go(func() (err error) {
			if packages[i].Entries, err = entriesOf(reading, store, o.Parts[i]); err != nil || layout != pir.LayoutFHS1 {
				return err
			}
			for j := range packages[i].Entries {
				if e := &packages[i].Entries[j]; fhs.Reads(e) {
					if e.Data, err = readSmall(reading, store, e); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return cid.CID{}, nil, err
	}
	tree, err := arrange(ctx, store, layout, packages)
	if err != nil {
		return cid.CID{}, nil, err
	}
	content, err := store.Compose(ctx, pieces(tree), o)
	return content, tree, err
}

// arrange returns the tree of an environment by its layout.
func arrange(ctx context.Context, store Trees, layout pir.Layout, packages []fhs.Package) (*fhs.Tree, error) {
	switch layout {
	case pir.LayoutFHS1:
		return fhs.Compose(ctx, packages, func(ctx context.Context, e *fhs.Entry) ([]byte, error) { return readSmall(ctx, store, e) })
	case pir.LayoutFiles1:
		return fhs.Files(packages)
	}
	return fhs.Merge(packages)
}

// readSmall reads a file.
func readSmall(ctx context.Context, store Trees, e *fhs.Entry) ([]byte, error) {
	f, err := store.OpenFile(ctx, e.CID)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	b := make([]byte, e.Size)
	_, err = io.ReadFull(f, b)
	return b, err
}

var kindsOf = [...]fhs.Kind{cas.File: fhs.File, cas.Dir: fhs.Dir, cas.Symlink: fhs.Link}

// entriesOf returns the entries of a tree in the form of package fhs.
func entriesOf(ctx context.Context, store Trees, root cid.CID) ([]fhs.Entry, error) {
	entries := make([]fhs.Entry, 0, 64)
	for e, err := range store.Entries(ctx, root) {
		if err != nil {
			return nil, err
		}
		entries = append(entries, fhs.Entry{Path: e.Path, Kind: kindsOf[e.Kind], Exec: e.Exec, Size: e.Size, Target: e.Target, CID: e.CID})
	}
	return entries, nil
}

// pieces returns the entries of a tree in the form of the store.
func pieces(tree *fhs.Tree) []cas.Piece {
	out := make([]cas.Piece, len(tree.Entries))
	for i, e := range tree.Entries {
		p := cas.Piece{Entry: cas.Entry{Path: e.Path, Exec: e.Exec, Size: e.Size, Target: e.Target, CID: e.CID}, Data: e.Data}
		switch e.Kind {
		case fhs.File:
			p.Kind = cas.File
		case fhs.Dir:
			p.Kind = cas.Dir
		case fhs.Link:
			p.Kind, p.CID = cas.Symlink, cid.CID{} // its target may have changed
		}
		out[i] = p
	}
	return out
}
