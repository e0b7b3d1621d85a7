package index

import (
	"encoding/base32"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// formatVersion changes when older code cannot read the index, the journal or the names of blobs.
const (
	formatVersion = formatPrefix + "2"
	formatPrefix  = "nuka cas "
)

// A Table is the first byte of the keys of its records.
type Table byte

// The tables. Records of those marked J are copied in the journal. The others follow from blobs or from those:
// nodes of files would too, but a tree must stay readable around a damaged blob.
const (
	version  Table = 'v' // → formatVersion
	position Table = 'j' // → position in the journal

	Blobs   Table = 'f' // blob → size
	Damaged Table = 'q' // blob → nothing: the blob was damaged and set aside
	Leaves  Table = 'b' // leaf digest → blob, offset, size; only for blobs of several leaves
	Nodes   Table = 'n' // node digest → encoding; J

	PIRs         Table = 'p' // PID → PIR, origins; J
	Attestations Table = 'a' // PID, signer, CID → attestation; J
	Bindings     Table = 'c' // PID → CID; J
	Binders      Table = 'd' // CID, PID → nothing
	Roots        Table = 'g' // name → root; J
	Uses         Table = 'u' // PID → the day of its last use; J
)

// Key returns the key of a record, or, if parts are left out, the prefix of the keys of several.
func (t Table) Key(parts ...[]byte) []byte {
	k := make([]byte, 1, 80)
	k[0] = byte(t)
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

// BlobKey returns the key of a blob's size.
func BlobKey(blob cid.CID) []byte { return Blobs.Key(blob.Bytes()) }

// DamagedKey returns the key of the record that a blob was set aside.
func DamagedKey(blob cid.CID) []byte { return Damaged.Key(blob.Bytes()) }

// LeafKey returns the key of a leaf's place.
func LeafKey(leaf cid.CID) []byte { d := leaf.Digest(); return Leaves.Key(d[:]) }

// NodeKey returns the key of a node.
func NodeKey(node cid.CID) []byte { d := node.Digest(); return Nodes.Key(d[:]) }

// PIRKey returns the key of a PIR.
func PIRKey(p pir.PID) []byte { return PIRs.Key(p[:]) }

// AttestationKey returns the key of an attestation.
func AttestationKey(a *protocol.Attestation) []byte {
	return Attestations.Key(a.PID[:], a.Signer[:], a.CID.Bytes())
}

// BindingKey returns the key of the CID that a PID is bound to.
func BindingKey(p pir.PID) []byte { return Bindings.Key(p[:]) }

// BinderKey returns the key of the way back, from a CID to a PID that is bound to it.
func BinderKey(c cid.CID, p pir.PID) []byte { return Binders.Key(c.Bytes(), p[:]) }

// RootKey returns the key of a root.
func RootKey(name string) []byte { return Roots.Key([]byte(name)) }

// UseKey returns the key of the last use of a package.
func UseKey(p pir.PID) []byte { return Uses.Key(p[:]) }

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// KeyText returns the text by which reports name the record with key k: the digest or PID at the beginning.
func KeyText(k []byte) string { return base32Lower.EncodeToString(k[1:min(len(k), 33)]) }

// after returns the first key that does not start with prefix.
func after(prefix []byte) []byte {
	k := append([]byte(nil), prefix...)
	for i := len(k) - 1; i >= 0; i-- {
		if k[i]++; k[i] != 0 {
			return k[:i+1]
		}
	}
	return nil
}
