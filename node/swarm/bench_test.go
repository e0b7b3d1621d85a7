//go:build unix

package swarm

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/MordragT/nuka/node/swarm/fetch"
	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir/cid"
)

// A sink is a System whose receivers drop the leaves, so that a benchmark measures the swarm.
type sink struct{ *memory }

type dropping struct {
	*taking
	mu     sync.Mutex
	leaves map[cid.CID]int64
	done   int64
}

func (s sink) Receive(ctx context.Context, root cid.CID, size int64) (fetch.Receiver, error) {
	r, err := s.memory.Receive(ctx, root, size)
	return &dropping{taking: r.(*taking)}, err
}

func (d *dropping) WantLeaves() []cid.Leaf {
	list := d.taking.WantLeaves()
	d.leaves = make(map[cid.CID]int64, len(list))
	for _, l := range list {
		d.leaves[l.CID] = l.Size
	}
	return list
}

func (d *dropping) Put(b cid.Block) error {
	if b.CID.Codec() == cid.DagPB {
		return d.taking.Put(b)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done += d.leaves[b.CID]
	delete(d.leaves, b.CID)
	return nil
}

func (d *dropping) Progress() (int64, int64) {
	_, total := d.taking.Progress()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.done, total
}

func (d *dropping) Finish(context.Context) error {
	if len(d.leaves) > 0 {
		return fmt.Errorf("%d leaves are missing", len(d.leaves))
	}
	return nil
}

// cpu is the processor time of this process, of both ends.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkFetch(b *testing.B) {
	for _, c := range []struct {
		name        string
		files, size int
		change      func(*Options)
		peers       int
	}{
		{"512MiB/tcp", 8, 64 << 20, nil, 1}, {"512MiB/quic", 8, 64 << 20, overQUIC, 1}, {"512MiB/tcp/3 peers", 8, 64 << 20, nil, 3},
		{"10000x4KiB/tcp", 10_000, 4 << 10, nil, 1}, {"10000x4KiB/quic", 10_000, 4 << 10, overQUIC, 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			there := newMemory()
			root := there.tree(b, c.files, c.size)
			here := sink{newMemory()}
			a := start(b, 1, here, c.change)
			for n := range c.peers {
				connect(b, a, start(b, byte(2+n), there, c.change))
			}
			b.SetBytes(int64(c.files * c.size))
			before, used := time.Now(), cpu()
			b.ReportAllocs()
			for b.Loop() {
				clear(here.partial)
				if err := a.Fetch(b.Context(), root, int64(c.files*c.size), nil); err != nil {
					b.Fatal(err)
				}
			}
			wall := time.Since(before)
			mib := float64(b.N*c.files*c.size) / (1 << 20)
			b.ReportMetric(mib/(cpu()-used).Seconds(), "MiB/cpu-s")
			b.ReportMetric(float64(b.N*c.files)/wall.Seconds(), "files/s")
		})
	}
}

// BenchmarkStream is what a stream of libp2p carries, with nothing of ours on it.
func BenchmarkStream(b *testing.B) {
	for name, change := range map[string]func(*Options){"tcp": nil, "quic": overQUIC} {
		b.Run(name, func(b *testing.B) {
			const size = 512 << 20
			to, from := start(b, 1, newMemory(), change), start(b, 2, newMemory(), change)
			connect(b, to, from)
			hostOf(from).SetStreamHandler("/raw", func(st network.Stream) {
				buf := make([]byte, 1<<20)
				for n := 0; n < size; n += len(buf) {
					if _, err := st.Write(buf); err != nil {
						return
					}
				}
				st.Close()
			})
			b.SetBytes(size)
			used := cpu()
			for b.Loop() {
				st, err := hostOf(to).NewStream(b.Context(), hostOf(from).ID(), "/raw")
				if err != nil {
					b.Fatal(err)
				}
				st.CloseWrite()
				buf := make([]byte, 1<<20)
				n := 0
				for {
					k, err := st.Read(buf)
					if n += k; err != nil {
						break
					}
				}
				if n != size {
					b.Fatalf("got %d bytes", n)
				}
			}
			b.ReportMetric(float64(b.N*size>>20)/(cpu()-used).Seconds(), "MiB/cpu-s")
		})
	}
}

// A long fetch takes no more memory than a short one.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it moves gigabytes, and the race detector takes memory of its own")
	}
	size := int64(1 << 30)
	if os.Getenv("NUKA_LONG") != "" {
		size = 4 << 30
	}
	there := newMemory()
	leaf := make([]byte, cid.LeafSize)
	// The leaves are made when they are asked for: the first bytes are their number.
	numbers := map[cid.CID]int64{}
	make1 := func(n int64, to []byte) { copy(to, fmt.Sprintf("%016d", n)) }
	f := cid.NewFile(false)
	for n := range size >> 20 {
		make1(n, leaf)
		c := cid.Sum(cid.Raw, leaf)
		numbers[c] = n
		f.AddLeaf(c.Digest(), cid.LeafSize)
	}
	root, _, nodes, _ := f.Finish()
	there.add(nodes...)
	there.give = func(_ context.Context, c cid.CID, b []byte, _ routing.Requester) ([]byte, error) {
		if n, ok := numbers[c]; ok {
			b := make([]byte, cid.LeafSize)
			make1(n, b)
			return b, nil
		}
		if b == nil {
			return nil, fs.ErrNotExist
		}
		return b, nil
	}
	here := sink{newMemory()}
	a, b := start(t, 1, here, nil), start(t, 2, there, nil)
	connect(t, a, b)
	debug.FreeOSMemory() // what tests before this one have used, in whichever order they run
	begin := time.Now()
	stop := make(chan struct{})
	most := make(chan uint64)
	go func() {
		var top uint64
		for {
			select {
			case <-stop:
				most <- top
				return
			case <-time.After(50 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				top = max(top, m.Sys-m.HeapReleased)
			}
		}
	}()
	if err := a.Fetch(t.Context(), root, size, nil); err != nil {
		t.Fatal(err)
	}
	close(stop)
	top := <-most
	t.Logf("%d MiB in %v, %d MiB of memory for both ends", size>>20, time.Since(begin), top>>20)
	if top > 200<<20 {
		t.Errorf("it took %d MiB of memory, want 200 at most", top>>20)
	}
}
