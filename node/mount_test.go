package node

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// TestShow asks for packages as folders where the node makes checkouts, and where it shows none.
func TestShow(t *testing.T) {
	h := newHandler(t)
	id, _ := castest.Package(t, h.store, h.private, "shown", tree("shown"))
	if err := h.surface.openCheckouts("a test"); err != nil {
		t.Fatal(err)
	}
	st, err := h.show(t.Context(), &request{}, protocol.MountArgs{Packages: []pir.PID{id}})
	if err != nil || st.How != "checkout" || st.Path != h.home.Mount() {
		t.Fatalf("got %+v, %v", st, err)
	}
	path := filepath.Join(st.Path, id.String())
	if list, err := os.ReadDir(path); err != nil || len(list) == 0 {
		t.Errorf("the checkout has %v, %v", list, err)
	}
	_, err = h.show(t.Context(), &request{}, protocol.MountArgs{Packages: []pir.PID{{1}}})
	if protocol.CodeOf(err) != protocol.NotFound {
		t.Errorf("a package that the store does not have: %v", err)
	}
	h.surface.changed(id)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("after it is gone: %v", err)
	}

	h.surface = newSurface(h)
	h.surface.choose("off", "a test")
	_, err = h.show(t.Context(), &request{}, protocol.MountArgs{Packages: []pir.PID{id}})
	if protocol.CodeOf(err) != protocol.Unsupported {
		t.Errorf("a node that shows none: %v", err)
	}
}

// TestShowKeeps checks that a package which a command sees as a folder survives a collection while the command is connected, and that content that does not count
// for the caller is not shown.
func TestShowKeeps(t *testing.T) {
	h := newHandler(t)
	if err := h.surface.openCheckouts("a test"); err != nil {
		t.Fatal(err)
	}
	id, content := castest.Package(t, h.store, h.private, "shown", tree("shown"))
	conn, hangUp := context.WithCancel(t.Context())
	if _, err := h.show(t.Context(), &request{Conn: conn}, protocol.MountArgs{Packages: []pir.PID{id}}); err != nil {
		t.Fatal(err)
	}
	collect := func(want bool) {
		t.Helper()
		if _, err := h.collect(t.Context(), &request{Local: true, Event: func(protocol.Event) {}}, protocol.CollectArgs{}); err != nil {
			t.Fatal(err)
		}
		if ok, err := h.store.Has(content); ok != want || err != nil {
			t.Errorf("after a collection: got %v, %v, want %v", ok, err, want)
		}
	}
	collect(true)
	hangUp()
	for range 100 { // the lease ends in a goroutine of the context
		if !slices.ContainsFunc(slices.Collect(h.store.Leases()), func(l *cas.Lease) bool { return l.What() == keptAsFolder }) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	collect(false)

	stranger, _ := castest.Package(t, h.store, castest.Key(7), "strange", tree("strange"))
	if _, err := h.show(t.Context(), &request{}, protocol.MountArgs{Packages: []pir.PID{stranger}}); err == nil {
		t.Error("content by a signer whom the policy does not name is shown")
	}
}
