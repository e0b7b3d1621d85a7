package node

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

func tree(text string) fs.FS {
	return fstest.MapFS{"text": &fstest.MapFile{Data: []byte(text), Mode: 0o644}, "same": &fstest.MapFile{Data: []byte("same"), Mode: 0o644}}
}

func TestSharing(t *testing.T) {
	h := newHandler(t)
	if err := os.WriteFile(h.home.Config(), []byte(`{share: [{names: "secret*", with: off}, {names: "team*", with: "mesh:m"}, {names: "open*", with: public}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.config, err = openConfig(h.home.Config()); err != nil {
		t.Fatal(err)
	}
	type object struct {
		id   pir.PID
		root cid.CID
	}
	objects := map[string]object{}
	for _, name := range []string{"secret-1", "team-1", "open-1", "plain", "got"} {
		id, root := put(t, h, h.private, name, tree(name))
		objects[name] = object{id, root}
	}
	open := func() *sharing {
		s, err := openSharing(t.Context(), h.store, h.config.Get, func(pir.PID) ([]pir.PID, error) { return nil, nil })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	s.hear("m", objects["got"].id)
	if err := s.keepIn(t.Context(), "m", objects["got"].root); err != nil {
		t.Fatal(err)
	}
	check := func(s *sharing, name string, want string) {
		t.Helper()
		o := objects[name]
		for _, c := range []struct {
			who, mesh string
			private   bool
		}{{"all", "", false}, {"lan", "", true}, {"m", "m", false}, {"n", "n", false}} {
			may := strings.Contains(want, c.who)
			if got := s.MayTell(o.id, c.mesh, c.private); got != may {
				t.Errorf("%s: tell %s: got %v, want %v", name, c.who, got, may)
			}
			if got := s.MayGive(o.root, c.mesh, c.private); got != may {
				t.Errorf("%s: give to %s: got %v, want %v", name, c.who, got, may)
			}
		}
	}
	for range 2 {
		check(s, "secret-1", "")
		check(s, "team-1", "m")
		check(s, "got", "m")
		check(s, "open-1", "all lan m n")
		check(s, "plain", "lan m n")
		s = open() // and after a restart
	}
	for name, code := range map[string]protocol.Code{"secret-1": protocol.Denied, "team-1": protocol.Denied, "got": protocol.Denied, "plain": ""} {
		_, err := s.shareClosure(t.Context(), objects[name].id, objects[name].root, func(pir.PID) ([]pir.PID, error) { return nil, nil })
		if protocol.CodeOf(err) != code && !(err == nil && code == "") {
			t.Errorf("share %s: got %v, want %q", name, err, code)
		}
	}
	check(s, "plain", "all lan m n")
	check(open(), "plain", "all lan m n")
	// What a secret package holds goes nowhere, though a shared one holds it too.
	leaf := cid.Sum(cid.Raw, []byte("same"))
	if s.MayGive(leaf, "", true) || s.MayGive(leaf, "m", true) {
		t.Error("a block of a secret package was given")
	}
}
