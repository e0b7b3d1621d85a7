package swarm

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// rawTransports are what a bare stream is measured over.
var rawTransports = map[string]func(*Options){"tcp": nil, "quic": overQUIC}

// BenchmarkRaw is what a stream of libp2p carries from the file that NUKA_RAW names to another one, which is synced:
// what make bench swarm holds fetches against. NUKA_RAW_FROM is the address of TestRawGiver, if the other end is that.
func BenchmarkRaw(b *testing.B) {
	source := os.Getenv("NUKA_RAW")
	if source == "" {
		b.Skip("NUKA_RAW names no file")
	}
	info, err := os.Stat(source)
	if err != nil {
		b.Fatal(err)
	}
	for name, change := range rawTransports {
		b.Run(name, func(b *testing.B) {
			to := start(b, 1, newMemory(), change)
			address := os.Getenv("NUKA_RAW_FROM")
			if address == "" {
				address = rawGiver(b, source, change)
			}
			if err := to.Connect(b.Context(), address); err != nil {
				b.Fatal(err)
			}
			at, err := peer.AddrInfoFromString(address)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(info.Size())
			for b.Loop() {
				st, err := hostOf(to).NewStream(b.Context(), at.ID, "/raw")
				if err != nil {
					b.Fatal(err)
				}
				f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
				if err != nil {
					b.Fatal(err)
				}
				if err := copied(f, st); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
				if at, err := f.Seek(0, io.SeekCurrent); err != nil || at != info.Size() {
					b.Fatalf("got %d bytes, %v", at, err)
				}
				f.Close()
			}
		})
	}
}

// TestRawGiver is the other end of BenchmarkRaw in a process of its own: it prints its address and gives the file until its
// input ends. NUKA_RAW_OVER says over which transport.
func TestRawGiver(t *testing.T) {
	over := os.Getenv("NUKA_RAW_OVER")
	if over == "" {
		t.Skip("NUKA_RAW_OVER names no transport")
	}
	fmt.Println(rawGiver(t, os.Getenv("NUKA_RAW"), rawTransports[over]))
	_, _ = io.Copy(io.Discard, os.Stdin) // its end is all that is of interest
}

// rawGiver starts a node that gives a file on a bare stream, and returns its address.
func rawGiver(t testing.TB, source string, change func(*Options)) string {
	s := start(t, 2, newMemory(), change)
	hostOf(s).SetStreamHandler("/raw", func(st network.Stream) {
		f, err := os.Open(source)
		if err != nil {
			_ = st.Reset() // the reader sees it
			return
		}
		defer f.Close()
		if copied(st, f) != nil {
			_ = st.Reset()
			return
		}
		st.Close()
	})
	return s.Addresses()[0] + "/p2p/" + s.ID()
}

// copied copies with a buffer of a leaf's size, whatever the two could do without one.
func copied(w io.Writer, r io.Reader) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 1<<20))
	return err
}
