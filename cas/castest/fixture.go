package castest

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
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
func Attest(signer byte, p pir.PID, c cid.CID) protocol.Attestation {
	a := protocol.Attestation{PID: p, CID: c, Size: 1, Issued: time.Unix(1_700_000_000, 0)}
	if err := a.Sign(Key(signer)); err != nil {
		panic(err) // the fields above are complete
	}
	return a
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
