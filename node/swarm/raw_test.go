package swarm

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
)

// BenchmarkRaw is what a stream of libp2p carries from the file that NUKA_RAW names to another one, which is synced:
// what make bench swarm holds fetches against.
func BenchmarkRaw(b *testing.B) {
	source := os.Getenv("NUKA_RAW")
	if source == "" {
		b.Skip("NUKA_RAW names no file")
	}
	info, err := os.Stat(source)
	if err != nil {
		b.Fatal(err)
	}
	for name, change := range map[string]func(*Options){"tcp": nil, "quic": quic} {
		b.Run(name, func(b *testing.B) {
			to, from := start(b, 1, newMemory(), change), start(b, 2, newMemory(), change)
			connect(b, to, from)
			from.host.SetStreamHandler("/raw", func(st network.Stream) {
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
			b.SetBytes(info.Size())
			for b.Loop() {
				st, err := to.host.NewStream(b.Context(), from.host.ID(), "/raw")
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

// copied copies with a buffer of a leaf's size, whatever the two could do without one.
func copied(w io.Writer, r io.Reader) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 1<<20))
	return err
}
