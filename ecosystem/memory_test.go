package ecosystem_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"testing"

	"github.com/MordragT/nuka/ecosystem"
)

// TestMemory passes a large file on: the memory does not grow with it. With NUKA_LONG=1 the file has 2 GiB, and 64 MiB else.
func TestMemory(t *testing.T) {
	size := int64(64 << 20)
	if os.Getenv("NUKA_LONG") != "" {
		size = 2 << 30
	}
	chunk := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		for n := int64(0); n < size; n += int64(len(chunk)) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	rec, folder := recorder(t, &ecosystem.Options{Upstreams: []ecosystem.Upstream{upstream("pypi", s.URL)}})
	res, err := http.Get("http://" + serve(t, rec) + "/pypi/six-1.0.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, most, n := m.HeapInuse, uint64(0), int64(0)
	buf := make([]byte, 1<<20)
	for i := 0; ; i++ {
		k, err := res.Body.Read(buf)
		n += int64(k)
		if i%256 == 0 {
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n != size || most > before+32<<20 {
		t.Errorf("%d of %d bytes; the heap grew from %d to %d bytes", n, size, before, most)
	}
	t.Logf("%d bytes; the heap grew from %d to %d bytes", n, before, most)
	r, err := rec.Recording()
	if err != nil || len(r.Files()) != 1 || r.Files()[0].Size != size {
		t.Fatalf("got %v, %v", r.Files(), err)
	}
	if f, err := folder.Open(r.Files()[0].Hash); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
}
