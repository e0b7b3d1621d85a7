package cas_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/pir/cid"
)

// A pass reads each blob once, also if it is cut off in between and goes on; it finds a flipped bit and a lost file and sets them aside.
func TestScrub(t *testing.T) {
	var events []cas.Event
	dir := t.TempDir()
	s := castest.Open(t, dir, &cas.Options{Event: func(e cas.Event) { events = append(events, e) }})
	tree := fstest.MapFS{"large": {Data: make([]byte, 3*cid.LeafSize)}}
	for i := range 600 { // more than one batch
		tree[fmt.Sprint(i)] = &fstest.MapFile{Data: fmt.Append(nil, i)}
	}
	root, err := s.Import(t.Context(), tree, nil)
	must(t, err)
	for _, name := range []string{"large", "123"} {
		e, err := s.Lookup(t.Context(), root, name)
		must(t, err)
		path, err := s.BlobPath(e.CID)
		must(t, err)
		if name == "large" {
			flipAt(t, path, 2<<20)
		} else {
			must(t, os.Remove(path))
		}
	}
	seen := map[cid.CID]int{}
	var at cid.CID
	var total cas.Scrubbed
	for passes := 0; ; passes++ {
		ctx, cancel := context.WithCancel(t.Context())
		got, err := s.Scrub(ctx, &cas.ScrubOptions{After: at, Reached: func(blob cid.CID, done cas.Scrubbed) {
			seen[blob]++
			if at = blob; done.Files == 100+passes {
				cancel()
			}
		}})
		cancel()
		total.Files += got.Files
		total.Bytes += got.Bytes
		total.Damaged += got.Damaged
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) || passes > 10 {
			t.Fatal(err)
		}
	}
	if total.Files != 601 || total.Damaged != 2 || len(seen) != 601 || total.Bytes != 3*cid.LeafSize+10+2*90+3*500 {
		t.Errorf("got %+v, and %d blobs", total, len(seen))
	}
	if len(events) != 2 {
		t.Errorf("got %v", events)
	}
	aside, err := filepath.Glob(filepath.Join(dir, "quarantine", "b*"))
	if must(t, err); len(aside) != 1 {
		t.Errorf("in the quarantine: %q", aside)
	}
	again, err := s.Scrub(t.Context(), nil)
	if must(t, err); again.Files != 599 || again.Damaged != 0 {
		t.Errorf("got %+v", again)
	}
}

// A pass reads no faster than its rate, also within a large file, and ends at once when it is cancelled.
func TestScrubRate(t *testing.T) {
	s := castest.Open(t, t.TempDir(), nil)
	_, err := s.Import(t.Context(), fstest.MapFS{"large": {Data: make([]byte, 4*cid.LeafSize)}}, nil)
	must(t, err)
	began := time.Now()
	_, err = s.Scrub(t.Context(), &cas.ScrubOptions{Rate: 4 << 20})
	must(t, err)
	if took := time.Since(began); took < 950*time.Millisecond {
		t.Errorf("4 MiB at 4 MiB/s took %s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began = time.Now()
	if _, err := s.Scrub(ctx, &cas.ScrubOptions{Rate: 1}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 10*time.Second {
		t.Errorf("got %v after %s", err, time.Since(began))
	}
}
