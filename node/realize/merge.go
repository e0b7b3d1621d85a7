package realize

import (
	"context"
	"io"
	"iter"
	"maps"
	"slices"

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
		packages = append(packages, fhs.Package{Name: name, Merge: w.pir.Merge[name], Entries: entriesOf(ctx, store, w.contents[id])})
		of, err := w.g.r.Refs(id)
		if err != nil {
			return made{}, err
		}
		refs = append(refs, of...)
	}
	tree, err := arrange(ctx, store, w.pir.Layout, packages)
	if err != nil {
		return made{}, err
	}
	for _, note := range tree.Notes {
		w.g.event(protocol.Event{Kind: protocol.EventNote, PID: w.id, Name: w.name, What: pir.Env, Text: note})
	}
	content, err := store.Compose(ctx, pieces(tree), &cas.ComposeOptions{Parts: parts, Lease: w.g.req.Lease})
	if err != nil {
		return made{}, err
	}
	return made{cid: content, refs: protocol.SortRefs(refs), size: tree.Size, way: protocol.Merged}, nil
}

// arrange returns the tree of an environment by its layout.
func arrange(ctx context.Context, store Trees, layout pir.Layout, packages []fhs.Package) (*fhs.Tree, error) {
	if layout == pir.LayoutFHS1 {
		return fhs.Compose(ctx, packages, func(ctx context.Context, e *fhs.Entry) ([]byte, error) {
			f, err := store.OpenFile(ctx, e.CID)
			if err != nil {
				return nil, err
			}
			defer f.Close() //nolint:errcheck // it was only read
			b := make([]byte, e.Size)
			_, err = io.ReadFull(f, b)
			return b, err
		})
	}
	return fhs.Merge(packages)
}

var kindsOf = map[cas.Kind]fhs.Kind{cas.File: fhs.File, cas.Dir: fhs.Dir, cas.Symlink: fhs.Link}

// entriesOf yields the entries of a tree in the form of package fhs.
func entriesOf(ctx context.Context, store Trees, root cid.CID) iter.Seq2[fhs.Entry, error] {
	return func(yield func(fhs.Entry, error) bool) {
		for e, err := range store.Entries(ctx, root) {
			if !yield(fhs.Entry{Path: e.Path, Kind: kindsOf[e.Kind], Exec: e.Exec, Size: e.Size, Target: e.Target, CID: e.CID}, err) || err != nil {
				return
			}
		}
	}
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
			p.Kind = cas.Symlink
		}
		out[i] = p
	}
	return out
}
