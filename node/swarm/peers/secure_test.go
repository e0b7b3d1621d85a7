package peers

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/iotest"

	"github.com/libp2p/go-libp2p/core/sec"
)

// A written notes what is written to it.
type written struct {
	net.Conn
	list [][]byte
}

func (w *written) Write(b []byte) (int, error) {
	w.list = append(w.list, bytes.Clone(b))
	return len(b), nil
}

// A source gives as much as there is room for, and notes how much that is.
type source struct {
	net.Conn
	data  []byte
	rooms []int
}

func (s *source) Read(b []byte) (int, error) {
	s.rooms = append(s.rooms, len(b))
	n := copy(b, s.data)
	s.data = s.data[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// What is large is read in large pieces, whatever pieces are asked for, and a connection that says little has a small buffer.
func TestPiecesRead(t *testing.T) {
	all := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(all) //nolint:errcheck // never fails
	for _, size := range []int{100, inRoom, len(all)} {
		s := &source{data: all[:size]}
		raw := newPieces(s)
		got, err := io.ReadAll(iotest.HalfReader(raw))
		if err != nil || !bytes.Equal(got, all[:size]) {
			t.Errorf("got %d bytes of %d, or others, %v", len(got), size, err)
		}
		if most := 4 + size/mostIn; len(s.rooms) > most {
			t.Errorf("%d bytes were read in %d pieces, want %d", size, len(s.rooms), most)
		}
		if size < inRoom && len(raw.room) > inRoom {
			t.Errorf("got a buffer of %d bytes for %d", len(raw.room), size)
		}
	}
}

// A recorder writes in records, as TLS does.
type recorder struct {
	sec.SecureConn
	raw net.Conn
}

func (r recorder) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = r.raw.Write(b[n:min(n+16<<10, len(b))])
		n += k
	}
	return n, err
}

func TestPieces(t *testing.T) {
	socket := &written{}
	raw := newPieces(socket)
	c := &secureConn{recorder{raw: raw}, raw}
	all := bytes.Repeat([]byte("0123456789abcdef"), 40<<10)
	for _, size := range []int{1, messageSize, len(all)} {
		if n, err := c.Write(all[:size]); n != size || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
	}
	if _, err := raw.Write([]byte("at once")); err != nil { // as TLS says that it ends
		t.Fatal(err)
	}
	var sizes []int
	for _, b := range socket.list {
		sizes = append(sizes, len(b))
	}
	// A message of yamux and what belongs to it in one piece, the 640 KiB in three.
	if got, want := len(sizes), 1+1+3+1; got != want {
		t.Errorf("got pieces of %v bytes, want %d", sizes, want)
	}
	want := append(append(append(append([]byte{}, all[:1]...), all[:messageSize]...), all...), "at once"...)
	if !bytes.Equal(bytes.Join(socket.list, nil), want) {
		t.Error("other bytes were written")
	}
}
