package index

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"github.com/MordragT/nuka/internal/crclog"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

func blobNumber(n byte) cid.CID { return cid.Sum(cid.Raw, []byte{n}) }

// Keys and values on disk must never change.
func TestFrozenRecords(t *testing.T) {
	blob, node, p := blobNumber(1), cid.Sum(cid.DagPB, []byte{2}), pir.Sum([]byte("pir"))
	root, err := Root{CID: node, PID: p, Created: time.Unix(1_700_000_000, 0)}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	bare, err := Root{CID: node, Created: time.Unix(0, 0)}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	a := &protocol.Attestation{PID: p, CID: node, Signer: protocol.Key{7}}
	digest := func(c cid.CID) string { d := c.Digest(); return hex.EncodeToString(d[:]) }
	const raw, dagPB = "01551e20", "01701e20"
	for name, tt := range map[string]struct {
		got  []byte
		want string
	}{
		"version key":     {version.Key(), "76"},
		"position key":    {position.Key(), "6a"},
		"blob key":        {BlobKey(blob), "66" + raw + digest(blob)},
		"damaged key":     {DamagedKey(blob), "71" + raw + digest(blob)},
		"leaf key":        {LeafKey(blob), "62" + digest(blob)},
		"node key":        {NodeKey(node), "6e" + digest(node)},
		"pir key":         {PIRKey(p), "70" + hex.EncodeToString(p[:])},
		"attestation key": {AttestationKey(a), "61" + hex.EncodeToString(p[:]) + hex.EncodeToString(a.Signer[:]) + dagPB + digest(node)},
		"binding key":     {BindingKey(p), "63" + hex.EncodeToString(p[:])},
		"binder key":      {BinderKey(node, p), "64" + dagPB + digest(node) + hex.EncodeToString(p[:])},
		"root key":        {RootKey("a/1"), "67612f31"},
		"use key":         {UseKey(p), "75" + hex.EncodeToString(p[:])},

		"version":  {[]byte(formatVersion), hex.EncodeToString([]byte("nuka cas 2"))},
		"journal":  {[]byte(journalMagic), hex.EncodeToString([]byte("nuka cas 2 journal\n"))},
		"position": {(&journal{number: 3, end: 1000, synced: 300}).position(), "03" + "e807" + "ac02"},
		"use":      {EncodeUse(time.Unix(1_700_000_000, 0)), "db9901"},
		"size":     {EncodeSize(1 << 20), "808040"},
		"place":    {Place{blob, 3 << 20, 1000}.Encode(), raw + digest(blob) + "8080c001" + "e807"},
		"pir":      {EncodePIR([]byte("pir"), []byte("origins")), "03" + "706972" + "6f726967696e73"},
		"root":     {root, hex.EncodeToString([]byte(`{"cid":"` + node.String() + `","created":1700000000,"pid":"` + p.String() + `","root":1}`))},
		"old root": {bare, hex.EncodeToString([]byte(`{"cid":"` + node.String() + `","created":0,"root":1}`))},
	} {
		if got := hex.EncodeToString(tt.got); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

// Whatever bytes a damaged index or journal has, they are refused or are what the encoder makes.
func FuzzDecode(f *testing.F) {
	node, p := cid.Sum(cid.DagPB, []byte{2}), pir.Sum([]byte("pir"))
	root, err := Root{CID: node, PID: p}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	for table, value := range map[Table][]byte{
		Blobs: EncodeSize(5), Leaves: Place{blobNumber(1), 1 << 20, 5}.Encode(), PIRs: EncodePIR([]byte("pir"), []byte("origins")),
		Roots: root, Bindings: node.Bytes(), Nodes: nil, Attestations: nil, position: (&journal{end: 100, synced: 50}).position(),
	} {
		f.Add(PIRKey(p), value, false)
		f.Add(table.Key([]byte("key")), value, true)
	}
	f.Fuzz(func(t *testing.T, key, value []byte, deleted bool) {
		if n, err := DecodeSize(value); err == nil {
			if again, err := DecodeSize(EncodeSize(n)); again != n || err != nil {
				t.Errorf("size %d: got %d, %v", n, again, err)
			}
		}
		if p, err := DecodePlace(value); err == nil {
			if again, err := DecodePlace(p.Encode()); again != p || err != nil {
				t.Errorf("place %v: got %v, %v", p, again, err)
			}
		}
		if canonical, origins, err := DecodePIR(value); err == nil {
			c, o, err := DecodePIR(EncodePIR(canonical, origins))
			if !bytes.Equal(c, canonical) || !bytes.Equal(o, origins) || err != nil {
				t.Errorf("pir %q, %q: got %q, %q, %v", canonical, origins, c, o, err)
			}
		}
		if r, err := DecodeRoot(value); err == nil {
			if again, err := r.Encode(); !bytes.Equal(again, value) || err != nil {
				t.Errorf("root %v: got %q, %v, want %q", r, again, err, value)
			}
		}
		if _, end, synced, err := decodePosition(value); err == nil && (synced > end || synced < int64(len(journalMagic))) {
			t.Errorf("position: got %d of %d", synced, end)
		}
		if len(key) > 0 {
			checkRecord(crclog.Record{Deleted: deleted, Key: key, Value: value}) //nolint:errcheck // it must not panic
		}
	})
}
