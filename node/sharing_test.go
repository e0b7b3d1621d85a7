package node

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

func tree(text string) fs.FS {
	return fstest.MapFS{"text": &fstest.MapFile{Data: []byte(text), Mode: 0o644}, "same": &fstest.MapFile{Data: []byte("same"), Mode: 0o644}}
}

// setShare gives a node other share rules.
func setShare(t *testing.T, h *handler, rules string) {
	t.Helper()
	err := os.WriteFile(h.home.Config(), []byte("{share: "+rules+"}"), 0o600)
	if err == nil {
		h.config, err = config.Open(h.home.Config())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// reopen reads what is shared as a node does that starts.
func reopen(t *testing.T, h *handler) *sharing {
	t.Helper()
	s, err := openSharing(t.Context(), h.store, h.config.Get, func(pir.PID) ([]pir.PID, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSharing(t *testing.T) {
	h := newHandler(t)
	setShare(t, h, `[{names: "secret*", with: off}, {names: "team*", with: "mesh:m"}, {names: "open*", with: public}]`)
	type object struct {
		id   pir.PID
		root cid.CID
	}
	objects := map[string]object{}
	for _, name := range []string{"secret-1", "team-1", "open-1", "plain", "got"} {
		id, root := put(t, h, h.private, name, tree(name))
		objects[name] = object{id, root}
	}
	open := func() *sharing { return reopen(t, h) }
	s := open()
	s.hear("m", objects["got"].id)
	got := objects["got"].root
	err := h.store.PutRoot(t.Context(), cas.Root{Name: meshMark("m", got), CID: got})
	if err = errors.Join(err, s.addBlocks(t.Context(), config.MeshPrefix+"m", got)); err != nil {
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
		check(s, "plain", "m n")
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

// A package whose name is not known goes no farther than it could go under any name, and its PIR goes as far as its statements.
func TestSharingUnknownName(t *testing.T) {
	h := newHandler(t)
	described, root := put(t, h, h.private, "plain", tree("plain"))
	unknown := pir.Sum([]byte("unknown"))
	a := protocol.Attestation{PID: unknown, CID: root, Size: 1, Issued: noon}
	if err := a.Sign(testKey(9)); err != nil {
		t.Fatal(err)
	}
	if err := h.store.Bind(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	file, err := (&pir.PIR{Kind: pir.Data, Name: "plain-file", Data: "nobody was told of it"}).Encode()
	if err == nil {
		err = h.store.PutPIR(t.Context(), pir.Sum(file), file, []byte("[]"))
	}
	if err != nil {
		t.Fatal(err)
	}
	const everybody = "all lan m n "
	for rules, want := range map[string]struct{ unknown, plain string }{
		`[]`:                         {"m n ", "m n "},
		`[{names: "*", with: mesh}]`: {"m n ", "m n "},
		`[{names: "*", with: lan}]`:  {"lan m n ", "lan m n "},
		`[{names: "p*", with: lan}]`: {"m n ", "lan m n "},
		`[{names: "p*", with: mesh}, {names: "*", with: lan}]`:                                         {"m n ", "m n "},
		`[{names: "*", with: public}]`:                                                                 {everybody, everybody},
		`[{names: "**", with: public}]`:                                                                {everybody, everybody},
		`[{names: "secret*", with: off}, {names: "*", with: public}]`:                                  {"", everybody},
		`[{names: "*", with: public}, {names: "secret*", with: off}]`:                                  {everybody, everybody},
		`[{names: "team*", with: "mesh:m"}, {names: "*", with: public}]`:                               {"m ", everybody},
		`[{names: "*", with: "mesh:m"}]`:                                                               {"m ", "m "},
		`[{names: "a*", with: "mesh:n"}, {names: "b*", with: "mesh:m"}, {names: "*", with: "mesh:m"}]`: {"", "m "},
		`[{names: "open*", with: public}]`:                                                             {"m n ", "m n "},
	} {
		setShare(t, h, rules)
		s := reopen(t, h)
		h.swarms.sharing = s
		told, given := "", ""
		for _, c := range []struct {
			who, mesh string
			private   bool
		}{{"all", "", false}, {"lan", "", true}, {"m", "m", false}, {"n", "n", false}} {
			if s.MayTell(unknown, c.mesh, c.private) {
				told += c.who + " "
			}
			y := &system{s: h.swarms, mesh: c.mesh}
			if b, err := y.PIR(t.Context(), described, routing.Requester{Private: c.private}); err == nil && pir.Sum(b) == described {
				given += c.who + " "
			}
			if _, err := y.PIR(t.Context(), pir.Sum(file), routing.Requester{Private: c.private}); err == nil {
				t.Errorf("rules %s: the PIR of a package that nothing was said of is given to %s", rules, c.who)
			}
		}
		if told != want.unknown {
			t.Errorf("rules %s: a package of an unknown name is told to %q, want %q", rules, told, want.unknown)
		}
		if given != want.plain {
			t.Errorf("rules %s: the PIR of plain is given to %q, want %q", rules, given, want.plain)
		}
	}
}

// Content that is in no package goes as far as the rule for "*" says, until somebody says what it is.
func TestSharingNameless(t *testing.T) {
	h := newHandler(t)
	nameless, err := h.store.Import(t.Context(), tree("nameless"), nil)
	if err != nil {
		t.Fatal(err)
	}
	id, named := put(t, h, h.private, "plain", fstest.MapFS{"own": {Data: []byte("plain")}})
	for rest, want := range map[string][2]bool{ // the LAN, mesh m
		"":                               {false, true},
		`, {names: "a*", with: off}`:     {false, true},
		`, {names: "*", with: mesh}`:     {false, true},
		`, {names: "*", with: lan}`:      {true, true},
		`, {names: "*", with: off}`:      {false, false},
		`, {names: "*", with: "mesh:m"}`: {false, true},
		`, {names: "*", with: public}`:   {true, true},
	} {
		setShare(t, h, `[{names: "plain*", with: lan}`+rest+`]`)
		s := reopen(t, h)
		if got := [2]bool{s.MayGive(nameless, "", true), s.MayGive(nameless, "m", false)}; got != want || s.MayGive(nameless, "", false) {
			t.Errorf("content without a name, rules %s: got %v for the LAN and m, want %v, and nobody else", rest, got, want)
		}
		if !s.MayGive(named, "", true) || !s.MayGive(named, "m", false) || s.MayGive(named, "", false) {
			t.Errorf("rules %s: a package for the LAN does not go to the LAN, and there only", rest)
		}
		if err := s.learn(t.Context(), id, nameless); err != nil {
			t.Fatal(err)
		}
		if !s.MayGive(nameless, "", true) {
			t.Errorf("rules %s: content that is a package by now is not given as that package is", rest)
		}
	}
}
