package cid_test

import (
	"bytes"
	"testing"

	"github.com/MordragT/nuka/pir/cid"
)

// FuzzDecode checks that Encode writes the same bytes for whatever Decode accepts.
func FuzzDecode(f *testing.F) {
	leaf := cid.Sum(cid.Raw, []byte("x"))
	for _, n := range []*cid.Node{
		{Kind: cid.KindDir},
		{Kind: cid.KindDir, Links: []cid.Link{{Name: "a", CID: leaf, Tsize: 1}}},
		{Kind: cid.KindShard, Links: []cid.Link{{Name: "0Aa", CID: leaf, Tsize: 1}}},
		{Kind: cid.KindSymlink, Target: "a"},
		{Kind: cid.KindFile, Size: 1, BlockSizes: []int64{1}, Exec: true, Links: []cid.Link{{CID: leaf, Tsize: 1}}},
		{Kind: cid.KindFile, Exec: true},
	} {
		f.Add(n.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := cid.Decode(b)
		if err == nil && !bytes.Equal(n.Encode(), b) {
			t.Errorf("got %x, want %x", n.Encode(), b)
		}
	})
}
