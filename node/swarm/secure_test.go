package swarm

import (
	"bytes"
	"net"
	"testing"

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
	all := bytes.Repeat([]byte("0123456789abcdef"), 10<<10)
	for _, size := range []int{1, 64 << 10, len(all)} {
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
	// 64 KiB and what belongs to it in one piece, the 160 KiB in three.
	if got, want := len(sizes), 1+1+3+1; got != want {
		t.Errorf("got pieces of %v bytes, want %d", sizes, want)
	}
	want := append(append(append(append([]byte{}, all[:1]...), all[:64<<10]...), all...), "at once"...)
	if !bytes.Equal(bytes.Join(socket.list, nil), want) {
		t.Error("other bytes were written")
	}
}
