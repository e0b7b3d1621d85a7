package protocol

import (
	"fmt"

	"github.com/MordragT/nuka/pir/cid"
)

// A Part is the state of a leaf at a node that is fetching its tree.
type Part byte

// The states, in an answer to AskParts, of a leaf that was missing when the fetch began.
const (
	PartMissing Part = 1 // not received and not requested
	PartComing  Part = 2 // requested and not received
	PartHere    Part = 3 // received
)

// A PartKey identifies a leaf in an answer to AskParts: the first bytes of its hash. Two leaves of a tree may have the same one.
type PartKey [8]byte

// PartKeyOf returns the key of a leaf.
func PartKeyOf(leaf cid.CID) PartKey {
	d := leaf.Digest()
	return PartKey(d[:])
}

// partSize is the size of one entry: a Part and a PartKey.
const partSize = 1 + len(PartKey{})

// MaxParts bounds the leaves in one answer.
const MaxParts = MaxBlock / partSize

// AppendPart appends the state of a leaf to an answer to AskParts.
func AppendPart(b []byte, p Part, leaf cid.CID) []byte {
	k := PartKeyOf(leaf)
	return append(append(b, byte(p)), k[:]...)
}

// Parts decodes an answer to AskParts: the leaves and the state of each.
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
