package castest

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// OnDisk adapts a cas.Store to Store.
type OnDisk struct{ *cas.Store }

// ReadFile reads a whole file.
func (s OnDisk) ReadFile(ctx context.Context, c cid.CID) ([]byte, error) {
	return ReadFile(ctx, s.Store, c)
}

// Hold implements Store.
func (s OnDisk) Hold(cids []cid.CID, pids []pir.PID) (release func()) {
	l := s.Lease("a test")
	l.Keep(cids...)
	l.KeepPIDs(pids...)
	return l.Release
}

// Files is the set of operations that ReadFile needs.
type Files interface {
	OpenFile(ctx context.Context, c cid.CID) (*os.File, error)
}

// ReadFile reads a whole file of a store.
func ReadFile(ctx context.Context, s Files, c cid.CID) ([]byte, error) {
	f, err := s.OpenFile(ctx, c)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, info.Size())
	_, err = f.ReadAt(b, 0)
	return b, err
}

// Key returns a signing key that depends only on n.
func Key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(slices.Repeat([]byte{n}, ed25519.SeedSize))
}

// Attest returns a signed attestation.
func Attest(signer byte, p pir.PID, c cid.CID, refs ...pir.PID) protocol.Attestation {
	a := protocol.Attestation{PID: p, CID: c, Refs: refs, Size: 1, Issued: time.Unix(1_700_000_000, 0)}
	if err := a.Sign(Key(signer)); err != nil {
		panic(err) // the fields above are complete
	}
	return a
}

// Open opens a store. It is closed when the test ends.
func Open(t testing.TB, dir string, o *cas.Options) *cas.Store {
	t.Helper()
	s, err := cas.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// TakeNumber composes a tree if its number ends with 3 or 8, imports it if its number is even, and else receives it, with what an earlier process or
// cut has left of it.
// seed decides the order of blocks. The lease keeps the tree.
func TakeNumber(s *cas.Store, i int, tree fs.FS, seed uint64, l *cas.Lease) (cid.CID, error) {
	if i%5 == 3 {
		return composeNumber(s, tree, l)
	}
	if i%2 == 0 {
		return s.Import(context.Background(), tree, &cas.ImportOptions{Lease: l})
	}
	peer, root := Peer(tree)
	l.Keep(root)
	return root, Receive(s, peer, root, rand.New(rand.NewPCG(seed, 1)))
}

// NumberedTree returns a tree with some content that all numbers share and some that no other one has:
// without that, imports soon bring nothing new. large is the mode of its large file, if it has one.
func NumberedTree(i int, seed uint64, large fs.FileMode) fs.FS {
	r := rand.New(rand.NewPCG(uint64(i), seed))
	tree := RandomTree(r)
	for j := range 1 + r.IntN(9) {
		tree[fmt.Sprint("own/", j)] = &fstest.MapFile{Mode: 0o644, Data: fmt.Append(nil, i, j)}
	}
	if r.IntN(4) == 0 {
		tree["own/large"] = &fstest.MapFile{Mode: large, Data: fmt.Append(make([]byte, 1<<20), i)}
	}
	return tree
}

// Package imports a tree and binds it, by the key's attestation, to the PID of a description with that name.
func Package(t testing.TB, s *cas.Store, key ed25519.PrivateKey, name string, tree fs.FS) (pir.PID, cid.CID) {
	t.Helper()
	root, err := s.Import(t.Context(), tree, nil)
	if err != nil {
		t.Fatal(err)
	}
	id := Describe(t, s, name)
	a := protocol.Attestation{PID: id, CID: root, Size: 1, Issued: time.Unix(1_700_000_000, 0)}
	if err := a.Sign(key); err != nil {
		t.Fatal(err)
	}
	if err := s.Bind(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return id, root
}

// Describe puts a description with that name into the store and returns its PID.
func Describe(t testing.TB, s *cas.Store, name string) pir.PID {
	t.Helper()
	canonical, err := (&pir.PIR{Kind: pir.Data, Name: name, Data: name}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	id := pir.Sum(canonical)
	if err := s.PutPIR(t.Context(), id, canonical, []byte("[]")); err != nil {
		t.Fatal(err)
	}
	return id
}

// PID returns a PID and bytes that have it; the store does not look inside them.
func PID(n int) (pir.PID, []byte) {
	b := fmt.Appendf(nil, `{"data":%d,"kind":"data"}`, n)
	return pir.Sum(b), b
}

// Collect collects a sequence in a slice, up to its first error.
func Collect[T any](seq iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for v, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

// Tree returns a tree with one entry of every kind.
func Tree() fstest.MapFS {
	big := pattern(9, 2<<20+12345)
	t := fstest.MapFS{
		"bin/tool":        {Data: []byte("#!tool\n"), Mode: 0o755},
		"bin/sh":          {Data: []byte("tool"), Mode: fs.ModeSymlink | 0o777},
		"share/same":      {Data: []byte("#!tool\n"), Mode: 0o644},
		"share/big":       {Data: big, Mode: 0o644},
		"share/big.exec":  {Data: big, Mode: 0o755},
		"share/full":      {Data: big[:1<<20], Mode: 0o644},
		"share/ünï ☃\x01": {Data: []byte("x"), Mode: 0o600},
		"share/Case":      {Data: []byte("upper"), Mode: 0o644},
		"share/case":      {Data: []byte("lower"), Mode: 0o644},
		"empty/file":      {Mode: 0o644},
		"empty/exec":      {Mode: 0o755},
		"empty/dir":       {Mode: fs.ModeDir | 0o755},
		"dangling":        {Data: []byte("/nowhere/at all"), Mode: fs.ModeSymlink | 0o777},
	}
	return t
}

// WideTree returns a tree with a directory that needs shards.
func WideTree() fstest.MapFS {
	t := fstest.MapFS{}
	for i := range 4500 {
		t["wide/"+strings.Repeat("n", 200)+fmt.Sprint(i*31)] = &fstest.MapFile{Data: []byte{byte(i)}, Mode: 0o644}
	}
	return t
}
