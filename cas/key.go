package cas

import (
	"encoding/base32"
	"encoding/binary"
	"errors"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// formatVersion changes when older code cannot read the index, the journal or the names of blobs.
const (
	formatVersion = formatPrefix + "2"
	formatPrefix  = "nuka cas "
)

// The tables of the index: the first byte of each key.
// Those marked J are copied in the journal, the others follow from blobs or from those:
// nodes of files would too, but a tree must stay readable around a damaged blob.
const (
	keyVersion = 'v' // → formatVersion
	keyJournal = 'j' // → journal position

	keyBlob    = 'f' // blob → size
	keyDamaged = 'q' // blob → nothing: was here and was damaged
	keyLeaf    = 'b' // leaf digest → blob, offset, size; only for blobs of several leaves
	keyNode    = 'n' // node digest → encoding; J

	keyPIR    = 'p' // PID → PIR, origins; J
	keyAtt    = 'a' // PID, signer, CID → attestation; J
	keyBound  = 'c' // PID → CID; J
	keyBinder = 'd' // CID, PID → nothing
	keyRoot   = 'g' // name → root; J
)

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func key(table byte, parts ...[]byte) []byte {
	k := make([]byte, 1, 80)
	k[0] = table
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

func digestKey(table byte, digest [32]byte) []byte { return key(table, digest[:]) }

func blobKey(table byte, blob cid.CID) []byte { return key(table, blob.Bytes()) }

func boundKey(p pir.PID) []byte { return key(keyBound, p[:]) }

func binderKey(c cid.CID, p pir.PID) []byte { return key(keyBinder, c.Bytes(), p[:]) }

func attKey(a *protocol.Attestation) []byte { return key(keyAtt, a.PID[:], a.Signer[:], a.CID.Bytes()) }

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

var errValue = errors.New("malformed value in the index")

func encodeSize(n int64) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func decodeSize(b []byte) (int64, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 || n != len(b) || int64(v) < 0 {
		return 0, errValue
	}
	return int64(v), nil
}

// A leafPlace is where in which blob a leaf is.
type leafPlace struct {
	blob         cid.CID
	offset, size int64
}

func (p leafPlace) encode() []byte {
	b := append(make([]byte, 0, 48), p.blob.Bytes()...)
	b = binary.AppendUvarint(b, uint64(p.offset))
	return binary.AppendUvarint(b, uint64(p.size))
}

func decodeLeafPlace(b []byte) (leafPlace, error) {
	blob, err := cid.FromBytes(b[:min(len(b), cid.Size)])
	if err != nil {
		return leafPlace{}, errValue
	}
	offset, n := binary.Uvarint(b[cid.Size:])
	if n <= 0 {
		return leafPlace{}, errValue
	}
	size, err := decodeSize(b[cid.Size+n:])
	if err != nil || size <= 0 || size > cid.LeafSize || offset > 1<<62 {
		return leafPlace{}, errValue
	}
	return leafPlace{blob, int64(offset), size}, nil
}

func encodePIR(canonical, origins []byte) []byte {
	b := binary.AppendUvarint(make([]byte, 0, 8+len(canonical)+len(origins)), uint64(len(canonical)))
	b = append(b, canonical...)
	return append(b, origins...)
}

func decodePIR(b []byte) (canonical, origins []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, errValue
	}
	return b[n : n+int(size)], b[n+int(size):], nil
}
