package protocol

import (
	"fmt"

	"github.com/MordragT/nuka/pir/cid"
)

// A Part is what has become of a leaf where its tree is being fetched.
type Part byte

// What an answer to AskParts says of a leaf that was missing when the fetch began.
const (
	PartMissing Part = 1 // it is not here
	PartComing  Part = 2 // it is not here, and was asked for
	PartHere    Part = 3 // it is here
)

// A PartKey stands for a leaf in what is told of parts: the first bytes of its hash. Two leaves of a tree may have the same one.
type PartKey [8]byte

// PartKeyOf returns the key of a leaf.
func PartKeyOf(leaf cid.CID) PartKey {
	d := leaf.Digest()
	return PartKey(d[:])
}

// partSize is how many bytes tell of one leaf: its Part and its PartKey.
const partSize = 1 + len(PartKey{})

// MaxParts is of how many leaves one answer tells at most.
const MaxParts = MaxBlock / partSize

// AppendPart adds what has become of a leaf to an answer to AskParts.
func AppendPart(b []byte, p Part, leaf cid.CID) []byte {
	k := PartKeyOf(leaf)
	return append(append(b, byte(p)), k[:]...)
}

// Parts returns what an answer to AskParts tells: the leaves, and what has become of each.
func Parts(b []byte) ([]PartKey, []Part, error) {
	if len(b)%partSize != 0 {
		return nil, nil, fmt.Errorf("parts: %d bytes are no whole number of leaves", len(b))
	}
	keys, parts := make([]PartKey, 0, len(b)/partSize), make([]Part, 0, len(b)/partSize)
	for ; len(b) > 0; b = b[partSize:] {
		p := Part(b[0])
		if p < PartMissing || p > PartHere {
			return nil, nil, fmt.Errorf("parts: %d is nothing that becomes of a leaf", p)
		}
		keys, parts = append(keys, PartKey(b[1:partSize])), append(parts, p)
	}
	return keys, parts, nil
}
