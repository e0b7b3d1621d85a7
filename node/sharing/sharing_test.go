package sharing

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// TestMain checks that every goroutine that a test starts has ended.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func tree(text string) fs.FS {
	return fstest.MapFS{"text": &fstest.MapFile{Data: []byte(text), Mode: 0o644}, "same": &fstest.MapFile{Data: []byte("same"), Mode: 0o644}}
}

func noRefs(pir.PID) ([]pir.PID, error) { return nil, nil }

// A node is a store and a configuration.
type node struct {
	store  *cas.Store
	path   string
	config *config.File
}

func newNode(t *testing.T) *node {
	t.Helper()
	dir := t.TempDir()
	store := castest.Open(t, filepath.Join(dir, "store"), nil)
	n := &node{store: store, path: filepath.Join(dir, "config.nuon")}
	n.setShare(t, "[]")
	return n
}

// setShare replaces the share rules of a node.
func (n *node) setShare(t *testing.T, rules string) {
	t.Helper()
	err := os.WriteFile(n.path, []byte("{share: "+rules+"}"), 0o600)
	if err == nil {
		n.config, err = config.Open(n.path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// open opens Sharing from the store, as a node does when it starts.
func (n *node) open(t *testing.T) *Sharing {
	t.Helper()
	s, err := Open(t.Context(), n.store, n.config.Get, noRefs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSharing(t *testing.T) {
	h := newNode(t)
	h.setShare(t, `[{names: "secret*", with: off}, {names: "team*", with: "mesh:m"}, {names: "open*", with: public}]`)
	type object struct {
		id   pir.PID
		root cid.CID
	}
	objects := map[string]object{}
	for _, name := range []string{"secret-1", "team-1", "open-1", "plain", "got"} {
		id, root := castest.Package(t, h.store, castest.Key(1), name, tree(name))
		objects[name] = object{id, root}
	}
	open := func() *Sharing { return h.open(t) }
	s := open()
	s.Hear("m", objects["got"].id)
	got := objects["got"].root
	err := h.store.PutRoot(t.Context(), cas.Root{Name: meshMark("m", got), CID: got})
	if err = errors.Join(err, s.addBlocks(t.Context(), config.MeshPrefix+"m", got)); err != nil {
		t.Fatal(err)
	}
	check := func(s *Sharing, name string, want string) {
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
		check(s, "plain", "m n")
		s = open() // and after a restart
	}
	for name, code := range map[string]protocol.Code{"secret-1": protocol.Denied, "team-1": protocol.Denied, "got": protocol.Denied, "plain": ""} {
		_, err := s.Share(t.Context(), objects[name].id, objects[name].root, noRefs)
		if protocol.CodeOf(err) != code && !(err == nil && code == "") {
			t.Errorf("share %s: got %v, want %q", name, err, code)
		}
	}
	check(s, "plain", "all lan m n")
	check(open(), "plain", "all lan m n")
	// A block of a secret package goes to no node, even if a shared package has it too.
	leaf := cid.Sum(cid.Raw, []byte("same"))
	if s.MayGive(leaf, "", true) || s.MayGive(leaf, "m", true) {
		t.Error("a block of a secret package was given")
	}
}

// Content that is in no package has the scope of the rule for "*", until a statement names its package.
func TestSharingNameless(t *testing.T) {
	h := newNode(t)
	nameless, err := h.store.Import(t.Context(), tree("nameless"), nil)
	if err != nil {
		t.Fatal(err)
	}
	id, named := castest.Package(t, h.store, castest.Key(1), "plain", fstest.MapFS{"own": {Data: []byte("plain")}})
	for rest, want := range map[string][2]bool{ // the LAN, mesh m
		"":                               {false, true},
		`, {names: "a*", with: off}`:     {false, true},
		`, {names: "*", with: mesh}`:     {false, true},
		`, {names: "*", with: lan}`:      {true, true},
		`, {names: "*", with: off}`:      {false, false},
		`, {names: "*", with: "mesh:m"}`: {false, true},
		`, {names: "*", with: public}`:   {true, true},
	} {
		h.setShare(t, `[{names: "plain*", with: lan}`+rest+`]`)
		s := h.open(t)
		if got := [2]bool{s.MayGive(nameless, "", true), s.MayGive(nameless, "m", false)}; got != want || s.MayGive(nameless, "", false) {
			t.Errorf("content without a name, rules %s: got %v for the LAN and m, want %v, and nobody else", rest, got, want)
		}
		if !s.MayGive(named, "", true) || !s.MayGive(named, "m", false) || s.MayGive(named, "", false) {
			t.Errorf("rules %s: a package for the LAN does not go to the LAN, and there only", rest)
		}
		if err := s.Learn(t.Context(), id, nameless); err != nil {
			t.Fatal(err)
		}
		if !s.MayGive(nameless, "", true) {
			t.Errorf("rules %s: content that is a package by now is not given as that package is", rest)
		}
	}
}
