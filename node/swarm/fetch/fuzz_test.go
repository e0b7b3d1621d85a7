package fetch

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/pir/cid"
)

// Whatever a peer answers for a leaf, the batch holds as many bytes as the leaf has, or nothing.
func FuzzLeaf(f *testing.F) {
	z, err := wire.NewCodec()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("\x01\x05hello"), int64(5))
	f.Add([]byte("\x03"), int64(5))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if size < 0 || size > cid.LeafSize {
			return
		}
		part := &batch{}
		_, err := part.read(z, bufio.NewReader(bytes.NewReader(b)), 0, cid.Leaf{Size: size}, nil)
		if err == nil && !part.items[0].missing && size > 0 && len(part.buf) != int(size) {
			t.Errorf("%d bytes of a leaf of %d", len(part.buf), size)
		}
	})
}
