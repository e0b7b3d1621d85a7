package cas_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cockroachdb/pebble/v2"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/pir/cid"
)

// A blob has the CID of its file for a name, and an executable that of its plain twin, with which it shares the blob.
func TestBlobNames(t *testing.T) {
	ctx := context.Background()
	for _, size := range []int{0, 1, cid.LeafSize, cid.LeafSize + 1, 3 * cid.LeafSize} {
		data := bytes.Repeat([]byte{7}, size)
		file := cid.NewFile(false)
		file.Write(data) //nolint:errcheck // never fails
		plain, _, _, _ := file.Finish()
		file = cid.NewFile(true)
		file.Write(data) //nolint:errcheck // never fails
		exec, _, _, _ := file.Finish()
		for _, tree := range []fstest.MapFS{
			{"plain": {Data: data}, "exec": {Data: data, Mode: 0o755}},
			{"exec": {Data: data, Mode: 0o755}},
		} {
			p := newPeer(t, tree)
			dir := t.TempDir()
			s := castest.Open(t, dir, nil)
			r, err := s.Receive(ctx, p.root, nil)
			must(t, err)
			p.rest(t, r)
			must(t, r.Finish(ctx))
			for _, s := range []*cas.Store{p.s, s} {
				path, err := s.BlobPath(exec)
				if must(t, err); filepath.Base(path) != plain.String() {
					t.Errorf("%d bytes: got blob %s, want the name %s", size, path, plain)
				}
				if st, err := s.Stats(ctx); err != nil || st.Files != 1 {
					t.Errorf("%d bytes: got %d blobs, %v, want 1", size, st.Files, err)
				}
				castest.CheckTree(t, castest.OnDisk{Store: s}, p.root, tree)
				castest.Check(t, s)
			}
		}
	}
}

// A file whose bytes are the root node of a large file has the digest of that node and is another file.
func TestFileOfNode(t *testing.T) {
	ctx := context.Background()
	large := fstest.MapFS{"large": {Data: make([]byte, 3<<20)}}
	p := newPeer(t, large)
	e, err := p.s.Lookup(ctx, p.root, "large")
	must(t, err)
	node := p.block(t, e.CID).Data
	raw := cid.Sum(cid.Raw, node)
	if raw.Digest() != e.CID.Digest() {
		t.Fatal("the file and its leaf have other digests")
	}
	_, openErr := p.s.OpenFile(ctx, raw)
	_, pathErr := p.s.BlobPath(raw)
	_, blockErr := p.s.Block(ctx, raw)
	_, sizeErr := p.s.Size(raw)
	for what, err := range map[string]error{
		"open": openErr, "path": pathErr, "block": blockErr, "size": sizeErr,
		"export":      p.s.Export(ctx, raw, filepath.Join(t.TempDir(), "out")),
		"put as root": p.s.PutRoot(ctx, cas.Root{Name: "raw", CID: raw}),
	} {
		if !errors.Is(err, cas.ErrNotFound) {
			t.Errorf("%s: got %v, want %v", what, err, cas.ErrNotFound)
		}
	}
	if ok, err := p.s.Has(raw); ok || err != nil {
		t.Errorf("has: got %t, %v", ok, err)
	}

	small := fstest.MapFS{"small": {Data: node}, "exec": {Data: node, Mode: 0o755}}
	both := fstest.MapFS{"large": large["large"], "small": small["small"], "exec": small["exec"]}
	imported := func(s *cas.Store, tree fstest.MapFS) cid.CID {
		root, err := s.Import(ctx, tree, nil)
		must(t, err)
		return root
	}
	received := func(s *cas.Store, tree fstest.MapFS) cid.CID {
		p := newPeer(t, tree)
		r, err := s.Receive(ctx, p.root, nil)
		must(t, err)
		p.rest(t, r)
		must(t, r.Finish(ctx))
		return p.root
	}
	for name, take := range map[string]func(*cas.Store, fstest.MapFS) cid.CID{"import": imported, "receive": received} {
		for order, trees := range map[string][]fstest.MapFS{
			"large first": {large, small}, "small first": {small, large}, "both": {both},
		} {
			t.Run(name+"/"+order, func(t *testing.T) {
				dir := t.TempDir()
				s := castest.Open(t, dir, nil)
				var roots []cid.CID
				for _, tree := range trees {
					roots = append(roots, take(s, tree))
				}
				for range 2 {
					for i, tree := range trees {
						castest.CheckTree(t, castest.OnDisk{Store: s}, roots[i], tree)
					}
					castest.Check(t, s)
					if st, err := s.Stats(ctx); err != nil || st.Files != 2 {
						t.Errorf("got %d blobs, %v, want 2", st.Files, err)
					}
					must(t, s.Close())
					markIndex(t, dir)
					s = castest.Open(t, dir, nil)
				}
			})
		}
	}
	// As a root of its own it is a leaf that is not here.
	r, err := p.s.Receive(ctx, raw, nil)
	must(t, err)
	if want := r.WantLeaves(); len(want) != 1 || want[0].CID != raw {
		t.Errorf("got wanted leaves %v, want %s", want, raw)
	}
	must(t, r.Put(cid.Block{CID: raw, Data: node}))
	must(t, r.Finish(ctx))
	if got := readFile(t, p.s, raw); got != string(node) {
		t.Errorf("got %d bytes, want the %d of the node", len(got), len(node))
	}
	castest.CheckTree(t, castest.OnDisk{Store: p.s}, p.root, large)
}

// A store of another format is not touched, also when its index is damaged, and the error says what to do.
func TestOtherFormat(t *testing.T) {
	ctx := context.Background()
	for name, hurt := range map[string]func(dir string){
		"index": func(dir string) {
			db, err := pebble.Open(filepath.Join(dir, "index"), &pebble.Options{FormatMajorVersion: pebble.FormatNewest})
			must(t, err)
			must(t, db.Set([]byte("v"), []byte("nuka cas 1"), pebble.Sync))
			must(t, db.Close())
		},
		"journal": func(dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "index")))
			f, err := os.OpenFile(filepath.Join(dir, "meta", "journal-1"), os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString("nuka cas 1 journal\n")
			must(t, err)
			must(t, f.Close())
		},
	} {
		dir := t.TempDir()
		s := castest.Open(t, dir, nil)
		_, err := s.Import(ctx, castest.Tree(), nil)
		must(t, err)
		must(t, s.Close())
		hurt(dir)
		before, err := os.ReadFile(filepath.Join(dir, "meta", "journal-1"))
		must(t, err)
		for range 2 {
			_, err = cas.Open(dir, nil)
			if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), `"nuka cas 1"`) ||
				!strings.Contains(err.Error(), "move the folder away") {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if after, err := os.ReadFile(filepath.Join(dir, "meta", "journal-1")); err != nil || !bytes.Equal(after, before) {
			t.Errorf("%s: the journal was changed (%v)", name, err)
		}
	}
}

// growing is a file to which bytes are appended after its end was read.
type growing struct {
	fs.File
	parts []io.Reader
}

func (g *growing) Read(b []byte) (int, error) {
	n, err := g.parts[0].Read(b)
	if err == io.EOF && len(g.parts) > 1 {
		g.parts = g.parts[1:]
	}
	return n, err
}

type growingFS struct{ fstest.MapFS }

func (g growingFS) Open(name string) (fs.File, error) {
	f, err := g.MapFS.Open(name)
	if err != nil || name == "." {
		return f, err
	}
	return &growing{f, []io.Reader{bytes.NewReader(g.MapFS[name].Data), strings.NewReader("more")}}, nil
}

// What a file has at its end when it is read is what is imported.
func TestImportGrows(t *testing.T) {
	for _, size := range []int{2 << 20, 2<<20 + 5} {
		tree := fstest.MapFS{"log": {Data: make([]byte, size)}}
		s := castest.Open(t, t.TempDir(), nil)
		root, err := s.Import(context.Background(), growingFS{tree}, nil)
		must(t, err)
		castest.CheckTree(t, castest.OnDisk{Store: s}, root, tree)
		castest.Check(t, s)
	}
}
