package node

import (
	"os"
	"path/filepath"
	"testing"

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
	st, err := h.show(t.Context(), protocol.MountArgs{Packages: []pir.PID{id}})
	if err != nil || st.How != "checkout" || st.Path != h.home.Mount() {
		t.Fatalf("got %+v, %v", st, err)
	}
	path := filepath.Join(st.Path, id.String())
	if list, err := os.ReadDir(path); err != nil || len(list) == 0 {
		t.Errorf("the checkout has %v, %v", list, err)
	}
	_, err = h.show(t.Context(), protocol.MountArgs{Packages: []pir.PID{{1}}})
	if protocol.CodeOf(err) != protocol.NotFound {
		t.Errorf("a package that the store does not have: %v", err)
	}
	h.surface.changed(id)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("after it is gone: %v", err)
	}

	h.surface = newSurface(h)
	h.surface.choose("off", "a test")
	_, err = h.show(t.Context(), protocol.MountArgs{Packages: []pir.PID{id}})
	if protocol.CodeOf(err) != protocol.Unsupported {
		t.Errorf("a node that shows none: %v", err)
	}
}
