package castest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir/cid"
)

// Compose implements Store. It makes the tree from the bytes of all files, and imports it.
func (m *Model) Compose(ctx context.Context, pieces []cas.Piece, o *cas.ComposeOptions) (cid.CID, error) {
	if o == nil {
		o = &cas.ComposeOptions{}
	}
	for _, part := range o.Parts {
		if _, ok := m.blocks[part]; !ok {
			return cid.CID{}, cas.ErrNotFound
		}
	}
	if err := ctx.Err(); err != nil {
		return cid.CID{}, err
	}
	tree := fstest.MapFS{}
	for _, p := range pieces {
		if !fs.ValidPath(p.Path) || p.Path == "." {
			return cid.CID{}, fmt.Errorf("the path %q", p.Path)
		}
		f := &fstest.MapFile{Mode: 0o644, Data: p.Data}
		switch p.Kind {
		case cas.Dir:
			f = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
		case cas.Symlink:
			f = &fstest.MapFile{Mode: fs.ModeSymlink | 0o777, Data: []byte(p.Target)}
		case cas.File:
			if p.Exec {
				f.Mode = 0o755
			}
			if b, ok := m.files[p.CID]; ok {
				f.Data = b
			} else if !p.CID.IsZero() {
				return cid.CID{}, cas.ErrNotFound
			}
		default:
			return cid.CID{}, errors.New("a piece without kind")
		}
		if old := tree[p.Path]; old != nil && !(old.Mode.IsDir() && f.Mode.IsDir()) {
			return cid.CID{}, fmt.Errorf("two pieces %s", p.Path)
		}
		tree[p.Path] = f
	}
	for at := range tree {
		for dir := path.Dir(at); dir != "."; dir = path.Dir(dir) {
			if f := tree[dir]; f != nil && !f.Mode.IsDir() {
				return cid.CID{}, fmt.Errorf("%s is below a file", at)
			}
		}
	}
	return m.Import(ctx, tree, nil)
}

// Entries is the set of operations that Pieces needs.
type Entries interface {
	Entries(ctx context.Context, root cid.CID) iter.Seq2[cas.Entry, error]
}

// Pieces returns the entries of a tree below its root as pieces, with the path of a directory before theirs if it is not empty.
func Pieces(ctx context.Context, s Entries, root cid.CID, below string) ([]cas.Piece, error) {
	var pieces []cas.Piece
	for e, err := range s.Entries(ctx, root) {
		if err != nil {
			return nil, err
		}
		if e.Path == "" {
			continue
		}
		e.Path = path.Join(below, e.Path)
		pieces = append(pieces, cas.Piece{Entry: e})
	}
	return pieces, nil
}

// composeNumber composes a tree in place of importing it: from a part with half of its files, which the lease keeps too, and from new ones.
func composeNumber(s *cas.Store, tree fs.FS, l *cas.Lease) (cid.CID, error) {
	ctx := context.Background()
	half := fstest.MapFS{}
	var pieces []cas.Piece
	n := 0
	err := fs.WalkDir(tree, ".", func(at string, d fs.DirEntry, err error) error {
		if err != nil || at == "." {
			return err
		}
		p := cas.Piece{Entry: cas.Entry{Path: at, Kind: cas.File}}
		switch d.Type() {
		case fs.ModeDir:
			p.Kind = cas.Dir
		case fs.ModeSymlink:
			p.Kind = cas.Symlink
			p.Target, err = fs.ReadLink(tree, at)
		default:
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				p.Exec = info.Mode()&0o111 != 0
				p.Data, err = fs.ReadFile(tree, at)
			}
			if n++; err == nil && n%2 == 0 {
				half[at] = &fstest.MapFile{Data: p.Data, Mode: info.Mode()}
				return nil
			}
		}
		pieces = append(pieces, p)
		return err
	})
	if err != nil {
		return cid.CID{}, err
	}
	part, err := s.Import(ctx, half, &cas.ImportOptions{Lease: l})
	if err != nil {
		return cid.CID{}, err
	}
	more, err := Pieces(ctx, s, part, "")
	if err != nil {
		return cid.CID{}, err
	}
	return s.Compose(ctx, append(pieces, more...), &cas.ComposeOptions{Parts: []cid.CID{part}, Lease: l})
}

// randomPieces returns pieces of two trees, some renamed, some left out, and some new ones.
func randomPieces(r *rand.Rand, m *Model, parts []cid.CID) []cas.Piece {
	var pieces []cas.Piece
	for i, part := range parts {
		list, err := Pieces(context.Background(), m, part, strings.Repeat("d0/", i*r.IntN(2)))
		if err != nil {
			continue // the part is absent
		}
		for _, p := range list {
			if r.IntN(5) > 0 && p.Path != "" {
				pieces = append(pieces, p)
			}
		}
	}
	for range r.IntN(3) {
		p := cas.Piece{Entry: cas.Entry{Path: fmt.Sprint("new", r.IntN(3)), Kind: cas.File, Exec: r.IntN(3) == 0}, Data: fmt.Appendf(nil, "content %d", r.IntN(20))}
		if r.IntN(3) == 0 {
			p = cas.Piece{Entry: cas.Entry{Path: fmt.Sprint("d1/link", r.IntN(3)), Kind: cas.Symlink, Target: "../n1"}}
		}
		pieces = append(pieces, p)
	}
	r.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	return pieces
}

func testCompose(t *testing.T, s Store) {
	ctx := context.Background()
	tree := Tree()
	root := mustImport(t, s, tree, nil)
	pieces, err := Pieces(ctx, s, root, "")
	if err != nil {
		t.Fatal(err)
	}
	o := &cas.ComposeOptions{Parts: []cid.CID{root}}
	if got, err := s.Compose(ctx, pieces, o); err != nil || got != root {
		t.Errorf("the same tree: got %s, want %s (%v)", got, root, err)
	}
	// Two trees and new files, large ones too, in one.
	large := pattern(77, 2<<20+77)
	wide := mustImport(t, s, WideTree(), nil)
	more, err := Pieces(ctx, s, wide, "share/of")
	if err != nil {
		t.Fatal(err)
	}
	all := append(more, pieces...)
	want := fstest.MapFS{}
	for at, f := range tree {
		want[at] = f
	}
	for at, f := range WideTree() {
		want["share/of/"+at] = f
	}
	for at, f := range map[string]*fstest.MapFile{
		"new/small": {Data: []byte("new"), Mode: 0o644}, "new/exec": {Data: []byte("new"), Mode: 0o755}, "new/none": {Mode: 0o644}, "new/none.exec": {Mode: 0o755},
		"new/large": {Data: large, Mode: 0o644}, "new/large.exec": {Data: large, Mode: 0o755}, "new/link": {Data: []byte("../bin/tool"), Mode: fs.ModeSymlink},
	} {
		want[at] = f
		p := cas.Piece{Entry: cas.Entry{Path: at, Kind: cas.File, Exec: f.Mode&0o111 != 0}, Data: f.Data}
		if f.Mode&fs.ModeSymlink != 0 {
			p = cas.Piece{Entry: cas.Entry{Path: at, Kind: cas.Symlink, Target: string(f.Data)}}
		}
		all = append(all, p)
	}
	for range 2 {
		got, err := s.Compose(ctx, all, &cas.ComposeOptions{Parts: []cid.CID{root, wide}})
		if err != nil {
			t.Fatal(err)
		}
		CheckTree(t, s, got, want)
	}
	empty := mustImport(t, s, fstest.MapFS{}, nil)
	if got, err := s.Compose(ctx, nil, nil); err != nil || got != empty {
		t.Errorf("nothing: got %s, want %s (%v)", got, empty, err)
	}
	testComposeRefuses(t, s, pieces)
}

func testComposeRefuses(t *testing.T, s Store, pieces []cas.Piece) {
	ctx := context.Background()
	file := func(at string) cas.Piece {
		return cas.Piece{Entry: cas.Entry{Path: at, Kind: cas.File}, Data: []byte("a new text")}
	}
	for name, list := range map[string][]cas.Piece{
		"twice":        append([]cas.Piece{file("bin/tool")}, pieces...),
		"below a file": append([]cas.Piece{file("bin/tool/x")}, pieces...),
		"over folder":  append([]cas.Piece{file("bin")}, pieces...),
		"no path":      {file("")},
		"absolute":     {file("/x")},
		"above":        {file("../x")},
		"dot":          {file("a/./x")},
		"two slashes":  {file("a//x")},
		"ends":         {file("a/")},
		"name":         {file("a\xff")},
		"target":       {{Entry: cas.Entry{Path: "l", Kind: cas.Symlink}}},
		"kind":         {{Entry: cas.Entry{Path: "x"}}},
	} {
		if got, err := s.Compose(ctx, list, nil); err == nil {
			t.Errorf("%s: got %s, want an error", name, got)
		}
	}
	if ok, _ := s.Has(cid.Sum(cid.Raw, []byte("a new text"))); ok {
		t.Error("a part of a refused tree is there")
	}
	absent := &cas.ComposeOptions{Parts: []cid.CID{cid.Sum(cid.DagPB, []byte("absent"))}}
	if _, err := s.Compose(ctx, nil, absent); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("an absent part: got %v", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Compose(ctx, pieces, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}
