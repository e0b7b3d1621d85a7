package cas_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/fstest"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
)

// A store of 1,000 packages with 100 files each, of which every second one has a root: how long a dry run takes, and a collection.
// It takes a while to make the store: go test ./cas -bench Collect -benchtime 1x -run '^$'.
func BenchmarkCollect(b *testing.B) {
	s := castest.Open(b, b.TempDir(), nil)
	for i := range 1000 {
		tree := fstest.MapFS{}
		for j := range 100 {
			tree[fmt.Sprintf("d%d/f%d", j/10, j)] = &fstest.MapFile{Data: fmt.Append(nil, i, " ", j)}
		}
		c, err := s.Import(b.Context(), tree, nil)
		must(b, err)
		p, text := castest.PID(i)
		must(b, s.PutPIR(b.Context(), p, text, nil))
		must(b, s.Bind(b.Context(), castest.Attest(1, p, c)))
		if i%2 == 0 {
			must(b, s.PutRoot(b.Context(), cas.Root{Name: fmt.Sprint("r", i), CID: c, PID: p}))
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for b.Loop() {
		got, err := s.Collect(b.Context(), &cas.CollectOptions{DryRun: true})
		if must(b, err); got.Blobs != 50_000 {
			b.Fatalf("got %+v", got)
		}
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N)/(1<<20), "MiB/dry-run")
	start := time.Now()
	_, err := s.Collect(b.Context(), nil)
	must(b, err)
	b.ReportMetric(time.Since(start).Seconds(), "s/collection")
	castest.Check(b, s)
}
