package node

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

func TestCollectGenerations(t *testing.T) {
	h := newHandler(t)
	var put []protocol.Root
	for _, name := range []string{"profile/a/1", "profile/a/2", "profile/a/10", "profile/a/9", "profile/b/3", "profile/b/1", "profile/b/1/lua", "profile/a/note", "user/1"} {
		id, _ := castest.Package(t, h.store, h.private, "of-"+strings.ReplaceAll(name, "/", "-"), tree(name))
		put = append(put, protocol.Root{Name: name, PID: id})
	}
	if _, err := h.roots(t.Context(), &request{Local: true}, protocol.RootsArgs{Put: put}); err != nil {
		t.Fatal(err)
	}
	r := &request{Local: true, Event: func(protocol.Event) {}}
	want := []string{"profile/a/1", "profile/b/1", "profile/b/1/lua"}
	for _, dry := range []bool{true, false} {
		got, err := h.collect(t.Context(), r, protocol.CollectArgs{Generations: 1, Current: []string{"profile/a/2", "profile/a/9"}, DryRun: dry})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.Roots); diff != "" || got.Packages != 3 || got.Files != 3 {
			t.Errorf("dry run %v: got %+v\n%s", dry, got, diff)
		}
	}
	left := rootNames(t, h, protocol.RootsArgs{})
	if len(left) != 6 || left["profile/a/2"].Name == "" {
		t.Errorf("got %v", left)
	}
	if protocol.Allows(protocol.Rights(), protocol.OpCollect) {
		t.Error("a ticket allows to collect")
	}
}

// A caller's connection keeps what its program uses, a mount what has open files, and a share by name keeps its package. Marks of where a
// tree came from keep nothing.
func TestCollectKeeps(t *testing.T) {
	h := newHandler(t)
	trees := map[string]cid.CID{}
	ids := map[string]pir.PID{}
	for _, name := range []string{"running", "open", "shared", "mesh", "swarm", "none"} {
		ids[name], trees[name] = castest.Package(t, h.store, h.private, name, tree(name))
	}
	for _, r := range []cas.Root{
		{Name: "share/" + ids["shared"].String(), CID: trees["shared"], PID: ids["shared"]},
		{Name: "mesh/home/" + trees["mesh"].String(), CID: trees["mesh"]},
		{Name: "swarm/" + ids["swarm"].String(), CID: trees["swarm"], PID: ids["swarm"]},
	} {
		if err := h.store.PutRoot(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	conn, hangUp := context.WithCancel(t.Context())
	h.keepForCaller(&request{Conn: conn}, "a program that runs").KeepPIDs(ids["running"])
	var gone []pir.PID
	h.mount = Mount{
		Held: func([]pir.PID) []pir.PID { return []pir.PID{ids["open"]} },
		Gone: func(list []pir.PID) { gone = append(gone, list...) },
	}
	has := func(want ...string) {
		t.Helper()
		for name, c := range trees {
			if ok, err := h.store.Has(c); ok != slices.Contains(want, name) || err != nil {
				t.Errorf("%s: got %v, %v", name, ok, err)
			}
		}
	}
	r := &request{Local: true, Event: func(protocol.Event) {}}
	if _, err := h.collect(t.Context(), r, protocol.CollectArgs{}); err != nil {
		t.Fatal(err)
	}
	has("running", "open", "shared")
	if len(gone) != 3 {
		t.Errorf("the mount learned of %v", gone)
	}
	if got := rootNames(t, h, protocol.RootsArgs{}); len(got) != 1 {
		t.Errorf("got %v", got)
	}
	hangUp()
	for len(slices.Collect(h.store.Leases())) > 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := h.collect(t.Context(), r, protocol.CollectArgs{}); err != nil {
		t.Fatal(err)
	}
	has("open", "shared")
}

// With the setting gc the node collects when less is free than it demands, and spares what was used recently.
func TestCollectByItself(t *testing.T) {
	h := newHandler(t)
	used, usedTree := castest.Package(t, h.store, h.private, "used", tree("used"))
	_, oldTree := castest.Package(t, h.store, h.private, "old", tree("old"))
	if err := h.store.Use(t.Context(), time.Now(), used); err != nil {
		t.Fatal(err)
	}
	has := func(c cid.CID, want bool) {
		t.Helper()
		if ok, err := h.store.Has(c); ok != want || err != nil {
			t.Errorf("got %v, %v, want %v", ok, err, want)
		}
	}
	for text, want := range map[string]bool{"{}": true, "{gc: {min-free: 1b, max-free: 1b, keep: 2day}}": true} {
		setConfig(t, h, text)
		if err := h.makeRoom(t.Context()); err != nil {
			t.Fatal(err)
		}
		has(oldTree, want)
	}
	setConfig(t, h, "{gc: {min-free: 1PiB, max-free: 2PiB, keep: 2day}}")
	if err := h.makeRoom(t.Context()); err != nil {
		t.Fatal(err)
	}
	has(oldTree, false)
	has(usedTree, true)
}

func setConfig(t *testing.T, h *handler, text string) {
	t.Helper()
	if err := os.WriteFile(h.home.Config(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.config, err = config.Open(h.home.Config()); err != nil {
		t.Fatal(err)
	}
}
