package peers

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// A tightScope has room for so many bytes.
type tightScope struct {
	network.NullScope
	mu         sync.Mutex
	used, most int
	limit      int
}

func (s *tightScope) BeginSpan() (network.ResourceScopeSpan, error) { return s, nil }

func (s *tightScope) ReserveMemory(n int, _ uint8) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used+n > s.limit {
		return network.ErrResourceLimitExceeded
	}
	s.used += n
	s.most = max(s.most, s.used)
	return nil
}

func (s *tightScope) ReleaseMemory(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
}

// A far is a socket whose other end seems to be 20 ms away to yamux, which sends pings to find out.
type far struct{ net.Conn }

func (f far) Write(b []byte) (int, error) {
	const ping = 2
	if len(b) == frameHead && b[1] == ping && b[3] == frameSYN {
		time.Sleep(20 * time.Millisecond)
	}
	return f.Conn.Write(b)
}

func (s *tightScope) now() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// muxed is two ends of a connection over a socket.
func muxed(t *testing.T, scope network.PeerScope) (here, there *muxedConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	end := func(c net.Conn, isServer bool, scope network.PeerScope) *muxedConn {
		m, err := newMuxer().NewConn(far{c}, isServer, scope)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		return m.(*muxedConn)
	}
	return end(dialed, false, scope), end(accepted, true, nil)
}

// pair opens a stream, on which there a byte has come.
func pair(t *testing.T, here, there *muxedConn) (a, b network.MuxedStream) {
	t.Helper()
	a, err := here.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if b, err = there.AcceptStream(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(b, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func (u *unread) now() (sum, reserved int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sum, u.reserved
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// Whatever the sizes of writes, all bytes come. With a window that begins with 4,000,000 bytes, and that yamux may open, none do
// after 16 MiB: what it had to say about the smaller window is lost.
func TestMuxerGivesAll(t *testing.T) {
	for _, piece := range []int{1000, 64 << 10, 200_000, 1 << 20} {
		here, there := muxed(t, nil)
		a, b := pair(t, here, there)
		data := bytes.Repeat([]byte("0123456789abcdef!"), 3<<20)
		go func() {
			for rest := data; len(rest) > 0; {
				n, err := b.Write(rest[:min(piece, len(rest))])
				if err != nil {
					return // the reader sees it
				}
				rest = rest[n:]
			}
			_ = b.CloseWrite()
		}()
		got, err := io.ReadAll(a)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes a write: got %d bytes of %d, %v", piece, len(got), len(data), err)
		}
		if sum, _ := here.unread.now(); sum != 0 {
			t.Errorf("%d bytes count as unread", sum)
		}
	}
}

// Streams that nobody reads take what was allowed and no more; what is read makes room, and nothing is lost.
func TestUnreadIsBounded(t *testing.T) {
	const streams, size, limit = 6, 6 << 20, 8 << 20
	scope := &tightScope{limit: limit}
	here, there := muxed(t, scope)
	var open, givers []network.MuxedStream
	for range streams {
		a, b := pair(t, here, there)
		open, givers = append(open, a), append(givers, b)
	}
	for _, b := range givers {
		go func() {
			_, _ = b.Write(make([]byte, size)) // the reader sees what is missing
			_ = b.CloseWrite()
		}()
	}
	eventually(t, "it is full", func() bool { sum, _ := here.unread.now(); return sum > limit })
	time.Sleep(200 * time.Millisecond)
	if sum, reserved := here.unread.now(); sum > limit+2*unreadStep || reserved > limit {
		t.Errorf("%d bytes are unread and %d reserved, with room for %d", sum, reserved, limit)
	}
	var readers sync.WaitGroup
	for i, a := range open {
		readers.Go(func() {
			if n, err := io.Copy(io.Discard, a); n != size || err != nil {
				t.Errorf("stream %d: %d bytes, %v", i, n, err)
			}
		})
	}
	readers.Wait()
	eventually(t, "memory is given back", func() bool { return scope.now() <= 2*unreadStep })
	if scope.most > limit || scope.most < limit/2 {
		t.Errorf("%d bytes were reserved, want up to %d", scope.most, limit)
	}
}

// What a stream that is given up had unread is free, also what comes for it later.
func TestUnreadIsForgotten(t *testing.T) {
	here, there := muxed(t, &tightScope{limit: 4 << 20})
	for i := range 20 {
		a, b := pair(t, here, there)
		go func() { _, _ = b.Write(make([]byte, 3<<20)) }() // it fails when a is reset
		eventually(t, "something came", func() bool { sum, _ := here.unread.now(); return sum > 0 })
		var err error
		if i%2 == 0 {
			err = a.Reset()
		} else {
			err = a.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "nothing counts", func() bool { sum, _ := here.unread.now(); return sum == 0 })
	a, b := pair(t, here, there)
	if err := b.ResetWithError(7); err != nil {
		t.Fatal(err)
	}
	_, err := a.Read(make([]byte, 1))
	var reset *network.StreamError
	if !errors.As(err, &reset) || reset.ErrorCode != 7 || !reset.Remote {
		t.Errorf("got %v, want the code of the other side", err)
	}
}

// A connection that waits for room is closed all the same.
func TestUnreadCloses(t *testing.T) {
	here, there := muxed(t, &tightScope{})
	_, b := pair(t, here, there)
	go func() { _, _ = b.Write(make([]byte, 4<<20)) }() // it fails when the connection ends
	eventually(t, "it is full", func() bool { sum, _ := here.unread.now(); return sum > unreadStep })
	done := make(chan error, 1)
	go func() { done <- here.Close() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not close")
	}
}
