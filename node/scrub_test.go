package node

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/MordragT/nuka/cas/castest"
)

// A pass is cut off by the end of the daemon; the next daemon goes on where it was, and the one after a whole pass waits for the interval.
func TestScrubGoesOn(t *testing.T) {
	h := newHandler(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		castest.Package(t, h.store, h.private, name, tree(name)) // five blobs
	}
	setConfig(t, h, "{scrub: {rate: 8b, interval: 7day}}") // "same" has 4 bytes, the others one
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	if _, err := h.scrubOnce(ctx); err == nil {
		t.Fatal("8 bytes in a second took less than 400 ms")
	}
	st, after := h.scrubState()
	if after.IsZero() || !st.Finished.IsZero() {
		t.Fatalf("got %+v", st)
	}
	// Damage to what was read already is found by the next pass: this one does not read it again.
	path, err := h.store.BlobPath(after)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	damaged := func(want int) {
		t.Helper()
		if st, err := h.store.Stats(t.Context()); err != nil || st.Damaged != want {
			t.Errorf("got %d damaged files, %v, want %d", st.Damaged, err, want)
		}
	}
	setConfig(t, h, "{scrub: {rate: 1MiB, interval: 7day}}")
	wait, err := h.scrubOnce(t.Context())
	if err != nil || wait != 7*24*time.Hour {
		t.Errorf("got %s, %v", wait, err)
	}
	damaged(0)
	finished, after := h.scrubState()
	if !after.IsZero() || time.Since(finished.Finished) > time.Minute {
		t.Errorf("got %+v", finished)
	}
	if wait, err := h.scrubOnce(t.Context()); err != nil || wait < 6*24*time.Hour {
		t.Errorf("a pass is not due: got %s, %v", wait, err)
	}
	for name, text := range map[string]string{"malformed": `{"after": 3`, "no content id": `{"after": "x", "finished": "2020-01-01T00:00:00Z"}`, "a clock that went back": `{"finished": "2999-01-01T00:00:00Z"}`} {
		if err := os.WriteFile(h.scrubFile(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if wait, err := h.scrubOnce(t.Context()); err != nil || wait != 7*24*time.Hour {
			t.Errorf("%s: got %s, %v, want a whole pass", name, wait, err)
		}
		damaged(1)
	}
}
