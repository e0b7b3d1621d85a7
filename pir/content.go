package pir

import "github.com/MordragT/nuka/pir/cid"

// HashOf returns the hash by which a fetch names content: B3, the digest of its CID.
func HashOf(content cid.CID) Hash {
	digest := content.Digest()
	return NewHash(B3, digest[:])
}

// CIDs returns the CIDs that content with the hash can have: a tree or a large file is a node, and a small file is its bytes. A hash that is not B3 tells of none.
func (h Hash) CIDs() (list []cid.CID) {
	if h.Algorithm != B3 {
		return nil
	}
	for _, codec := range []uint64{cid.DagPB, cid.Raw} {
		if c, err := cid.New(codec, [32]byte(h.Digest())); err == nil {
			list = append(list, c)
		}
	}
	return list
}

// FetchFile returns the description of a file that has a hash, and its PID.
func FetchFile(h Hash) (id PID, canonical []byte, err error) {
	canonical, err = (&PIR{Kind: Fetch, Hash: h, Unpack: UnpackFile}).Encode()
	if err != nil {
		return PID{}, nil, err
	}
	return Sum(canonical), canonical, nil
}
