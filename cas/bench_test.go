package cas_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir/cid"
)

// manyTree is a tree of n files of a size, a hundred in a folder.
func manyTree(n, size int) fstest.MapFS {
	tree := fstest.MapFS{}
	for i := range n {
		b := make([]byte, size)
		binary.LittleEndian.PutUint64(b, uint64(i))
		tree[fmt.Sprintf("%d/%d", i/100, i)] = &fstest.MapFile{Data: b, Mode: 0o644}
	}
	return tree
}

// oneFile is the blocks of a file of so many MiB, made without a store.
func oneFile(mib int) (root cid.CID, nodes []cid.Block, leaf func(i int) cid.Block) {
	pattern := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{1}).Read(pattern) //nolint:errcheck // never fails
	data := func(i int) []byte {
		b := bytes.Clone(pattern[i%8<<20:][:1<<20])
		binary.LittleEndian.PutUint64(b, uint64(i))
		return b
	}
	var all []cid.Leaf
	for i := range mib {
		all = append(all, cid.Leaf{CID: cid.Sum(cid.Raw, data(i)), Size: 1 << 20})
	}
	root, nodes = cid.FileNodes(all, false)
	return root, nodes, func(i int) cid.Block { return cid.Block{CID: all[i].CID, Data: data(i)} }
}

// BenchmarkReceiveMany takes in 10,000 files of 4 KiB from memory, with one caller for each processor.
func BenchmarkReceiveMany(b *testing.B) { benchmarkMany(b, manyTree(10_000, 4096)) }

// BenchmarkReceiveTiny tells the memory that each of very many files takes.
func BenchmarkReceiveTiny(b *testing.B) { benchmarkMany(b, manyTree(200_000, 8)) }

func benchmarkMany(b *testing.B, tree fstest.MapFS) {
	ctx := context.Background()
	n := len(tree)
	p := newPeer(b, tree)
	blocks := map[cid.CID][]byte{}
	must(b, p.s.Walk(ctx, p.root, func(c cid.CID) error {
		data, err := p.s.Block(ctx, c)
		blocks[c] = data
		return err
	}))
	var put, finish time.Duration
	for b.Loop() {
		b.StopTimer()
		s, err := cas.Open(b.TempDir(), nil)
		must(b, err)
		before := heap()
		b.StartTimer()
		start := time.Now()
		r, err := s.Receive(ctx, p.root, nil)
		must(b, err)
		for want := r.WantNodes(); len(want) > 0; want = r.WantNodes() {
			for _, c := range want {
				must(b, r.Put(cid.Block{CID: c, Data: blocks[c]}))
			}
		}
		leaves := r.WantLeaves()
		each(len(leaves), func(i int) {
			c := leaves[i].CID
			if err := r.Put(cid.Block{CID: c, Data: blocks[c]}); err != nil {
				b.Error(err)
			}
		})
		put += time.Since(start)
		b.StopTimer()
		b.ReportMetric(float64(heap()-before)/float64(n), "B/file")
		b.StartTimer()
		start = time.Now()
		must(b, r.Finish(ctx))
		finish += time.Since(start)
		b.StopTimer()
		must(b, s.Close())
		b.StartTimer()
	}
	b.ReportMetric(float64(n*b.N)/put.Seconds(), "files/s-put")
	b.ReportMetric(finish.Seconds()/float64(b.N)*1000, "ms-finish")
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one has finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// each calls fn for all numbers below n, from one goroutine for each processor.
func each(n int, fn func(i int)) {
	var next atomic.Int64
	var g sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				fn(int(i))
			}
		})
	}
	g.Wait()
}

// BenchmarkReceiveLarge takes in one file of 1 GiB from memory, in order.
func BenchmarkReceiveLarge(b *testing.B) {
	for name, callers := range map[string]int{"1caller": 1, "callers": 0} {
		b.Run(name, func(b *testing.B) { benchmarkLarge(b, 1024, callers) })
	}
}

// BenchmarkReceive4GiB tells the memory that a large file takes.
func BenchmarkReceive4GiB(b *testing.B) {
	if testing.Short() {
		b.Skip("takes long")
	}
	benchmarkLarge(b, 4096, 0)
}

func benchmarkLarge(b *testing.B, mib, callers int) {
	ctx := context.Background()
	root, nodes, leaf := oneFile(mib)
	var ready [64]cid.Block
	b.SetBytes(int64(mib) << 20)
	var finish time.Duration
	var most int64
	for b.Loop() {
		b.StopTimer()
		s, err := cas.Open(b.TempDir(), nil)
		must(b, err)
		before := heap()
		b.StartTimer()
		r, err := s.Receive(ctx, root, nil)
		must(b, err)
		for i := range nodes {
			must(b, r.Put(nodes[len(nodes)-1-i]))
		}
		for i := 0; i < mib; i += len(ready) {
			b.StopTimer()
			for j := range ready {
				ready[j] = leaf(i + j)
			}
			b.StartTimer()
			put := func(j int) {
				if err := r.Put(ready[j]); err != nil {
					b.Error(err)
				}
			}
			if callers == 1 {
				for j := range ready {
					put(j)
				}
			} else {
				each(len(ready), put)
			}
		}
		b.StopTimer()
		clear(ready[:])
		most = max(most, heap()-before)
		b.StartTimer()
		start := time.Now()
		must(b, r.Finish(ctx))
		finish += time.Since(start)
		b.StopTimer()
		must(b, s.Close())
		b.StartTimer()
	}
	b.ReportMetric(float64(most)/(1<<20), "MiB-heap")
	b.ReportMetric(finish.Seconds()/float64(b.N)*1000, "ms-finish")
}

// BenchmarkImportMany is what BenchmarkReceiveMany is compared with.
func BenchmarkImportMany(b *testing.B) {
	tree := manyTree(10_000, 4096)
	for b.Loop() {
		b.StopTimer()
		s, err := cas.Open(b.TempDir(), nil)
		must(b, err)
		b.StartTimer()
		_, err = s.Import(context.Background(), tree, nil)
		must(b, err)
		b.StopTimer()
		must(b, s.Close())
		b.StartTimer()
	}
}

// BenchmarkImportLarge is what BenchmarkReceiveLarge is compared with.
func BenchmarkImportLarge(b *testing.B) {
	_, _, leaf := oneFile(1024)
	data := make([]byte, 0, 1<<30)
	for i := range 1024 {
		data = append(data, leaf(i).Data...)
	}
	b.SetBytes(1 << 30)
	for b.Loop() {
		b.StopTimer()
		s, err := cas.Open(b.TempDir(), nil)
		must(b, err)
		b.StartTimer()
		_, err = s.Import(context.Background(), fstest.MapFS{"large": {Data: data}}, nil)
		must(b, err)
		b.StopTimer()
		must(b, s.Close())
		b.StartTimer()
	}
}
