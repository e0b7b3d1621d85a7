//go:build unix

package swarms

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/protocol"
)

// cpu is the processor time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFetch brings a tree from one store to another, disk to disk, both in this process.
func BenchmarkFetch(b *testing.B) {
	for _, c := range []struct {
		name, listen string
		files, size  int
	}{
		{"512MiB/tcp", "/ip4/127.0.0.1/tcp/0", 1, 512 << 20}, {"512MiB/quic", "/ip4/127.0.0.1/udp/0/quic-v1", 1, 512 << 20},
		{"10000x4KiB/tcp", "/ip4/127.0.0.1/tcp/0", 10_000, 4 << 10},
	} {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir()
			data := make([]byte, c.size)
			for i := range c.files {
				rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(data) //nolint:errcheck // never fails
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), data, 0o644); err != nil {
					b.Fatal(err)
				}
			}
			from := newFetcher(b, castest.Key(1), c.listen)
			root, err := from.store.Import(b.Context(), os.DirFS(dir), nil)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(c.files * c.size))
			var used time.Duration
			for b.Loop() {
				b.StopTimer()
				to := newFetcher(b, castest.Key(2), c.listen)
				if err := to.swarm.Connect(b.Context(), (&protocol.Ticket{Node: protocol.KeyOf(from.key), Addresses: from.swarm.Addresses()}).String()); err != nil {
					b.Fatal(err)
				}
				before := cpu()
				b.StartTimer()
				if err := to.swarm.Fetch(b.Context(), root, 0, nil); err != nil {
					b.Fatal(err)
				}
				used += cpu() - before
			}
			b.ReportMetric(used.Seconds()*1000/float64(b.N), "cpu-ms/op")
		})
	}
}
