package swarm

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// Whatever a peer answers, lines stay within their bounds and hold no line feed.
func FuzzLines(f *testing.F) {
	z, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	text := bytes.Repeat([]byte("a line of text\n"), 20)
	for _, compressed := range []bool{false, true} {
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		e, out := protocol.Plain, text
		if compressed {
			e, out, _ = z.compress(text, nil)
		}
		if err := protocol.WriteAnswer(w, e, out); err != nil {
			f.Fatal(err)
		}
		protocol.WriteAnswer(w, protocol.End, nil)
		w.Flush()
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, size := 0, 0
		_, err := readLines(z, bufio.NewReader(bytes.NewReader(b)), nil, 30, 1000, func(line []byte) error {
			n, size = n+1, size+len(line)+1
			if bytes.IndexByte(line, '\n') >= 0 {
				t.Errorf("a line with a line feed: %q", line)
			}
			_, _ = signedBy(line)
			return nil
		})
		if n > 30 || size > 1000 {
			t.Errorf("%d lines of %d bytes, %v", n, size, err)
		}
	})
}

// Whatever a peer answers for a leaf, the batch holds as many bytes as the leaf has, or nothing.
func FuzzLeaf(f *testing.F) {
	z, err := newCodec()
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
