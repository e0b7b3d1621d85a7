package sharing

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// An arrivingCase is a tree, and the peers that may get it.
type arrivingCase struct {
	what string
	name string // of the package whose content it is; "" if only its CID is known
	mesh string // that it comes out of
	want string
}

// While a tree is being received, the node gives its blocks to exactly those peers that may get the complete package.
func TestArriving(t *testing.T) {
	testArriving(t, `[{names: "secret*", with: off}, {names: "team*", with: "mesh:m"}, {names: "open*", with: public}]`, []arrivingCase{
		{"plain", "plain", "", "lan m n"}, // another node shared it with strangers
		{"content", "", "", "lan m n"},
		{"content of m", "", "m", "m"},
		{"secret", "secret", "", ""},
		{"secret of m", "secret-2", "m", ""},
		{"team", "team", "", "m"},
		{"open", "open", "", "all lan m n"},
		{"plain of m", "plain-2", "m", "m"},
		{"heard", "heard", "", "m"},
	})
}

// If only the CID of content is known, its scope is that of the rule for "*".
func TestArrivingNameless(t *testing.T) {
	for rest, want := range map[string][2]string{"off": {"", ""}, "mesh": {"m n", "m"}, "lan": {"lan m n", "m"}, "mesh:m": {"m", "m"}, "mesh:n": {"n", ""}, "public": {"lan m n", "m"}} {
		t.Run(rest, func(t *testing.T) {
			rules := `[{names: "plain*", with: lan}, {names: "team*", with: "mesh:m"}, {names: "open*", with: public}, {names: "*", with: "` + rest + `"}]`
			testArriving(t, rules, []arrivingCase{
				{"content", "", "", want[0]},
				{"content of m", "", "m", want[1]},
				{"plain", "plain", "", "lan m n"},
				{"plain of m", "plain-2", "m", "m"},
				{"team", "team", "", "m"},
				{"open", "open", "", "all lan m n"},
				{"heard", "heard", "", "m"},
			})
		})
	}
}

// testArriving receives trees under share rules.
func testArriving(t *testing.T, rules string, cases []arrivingCase) {
	h := newNode(t)
	h.setShare(t, rules)
	s := h.open(t)
	known := func(name string) pir.PID { return castest.Describe(t, h.store, name) }
	s.Hear("m", known("heard"))
	for _, c := range cases {
		var id pir.PID
		if c.name != "" {
			id = known(c.name)
		}
		check := func(when string, b cid.CID, want string) {
			t.Helper()
			for _, a := range []struct {
				who, mesh string
				private   bool
			}{{"all", "", false}, {"lan", "", true}, {"m", "m", false}, {"n", "n", false}} {
				if got, may := s.MayGive(b, a.mesh, a.private), strings.Contains(want, a.who); got != may {
					t.Errorf("%s, %s: give %s to %s: got %v, want %v", c.what, when, b, a.who, got, may)
				}
			}
		}
		peer, root := castest.Peer(fstest.MapFS{"one": {Data: []byte("one of " + c.what)}, "two": {Data: []byte("two of " + c.what)}})
		done := s.Expect(id, root)
		receive := func(mesh string) *Incoming {
			r, err := s.Receive(t.Context(), mesh, root, 0)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		put := func(r *Incoming, b cid.CID) {
			data, err := peer.Block(t.Context(), b)
			if err == nil {
				err = r.Put(cid.Block{CID: b, Data: data})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		// An earlier attempt asked another mesh, which had only the root: the tree does not belong to that mesh.
		r := receive("other")
		put(r, root)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		r = receive(c.mesh)
		var came []cid.CID
		for {
			want := r.WantNodes()
			for _, l := range r.WantLeaves() {
				want = append(want, l.CID)
			}
			if len(want) == 0 {
				break
			}
			put(r, want[0])
			came = append(came, want[0])
			check("while it comes", want[0], c.want)
		}
		came = append(came, root)
		if err := errors.Join(r.Finish(t.Context()), r.Close()); err != nil {
			t.Fatal(err)
		}
		for _, b := range came {
			check("when it is finished", b, c.want)
		}
		if err := s.Arrived(t.Context(), id, root); err != nil {
			t.Fatal(err)
		}
		done()
		for _, b := range came {
			check("when all is over", b, c.want)
		}
		if len(came) < 3 || len(s.arriving) > 0 {
			t.Errorf("%s: %d blocks came, %d trees still do", c.what, len(came), len(s.arriving))
		}
	}
}

// The store never has a tree out of a mesh without the mark that keeps the tree in the mesh, whenever a crash happens.
func TestMeshMark(t *testing.T) {
	dir := t.TempDir()
	peer, root := castest.Peer(fstest.MapFS{"one": {Data: []byte("one")}, "dir/two": {Data: []byte("two")}})
	var store *cas.Store
	var s *Sharing
	forLAN := func() *config.Config {
		return &config.Config{Share: []config.ShareRule{{Names: "*", With: config.LAN}}}
	}
	open := func(failpoint func(disk.Step, string) error) {
		t.Helper()
		var err error
		if store, err = cas.Open(dir, &cas.Options{Failpoint: failpoint}); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(t.Context(), store, forLAN, noRefs); err != nil {
			t.Fatal(err)
		}
	}
	stop := func() {
		t.Helper()
		closing := store
		store = nil
		if err := closing.Close(); err != nil {
			t.Fatal(err)
		}
	}
	marks := func() (list []string) {
		for r, err := range store.Roots() {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, r.Name)
		}
		return list
	}
	// receive receives the tree, and returns before Sharing learns that the store has it.
	receive := func(mesh string) error {
		defer s.Expect(pir.PID{}, root)()
		r, err := s.Receive(t.Context(), mesh, root, 0)
		if err != nil {
			return err
		}
		_, err = castest.Feed(r.Receiving, peer, rand.New(rand.NewPCG(1, 1)), 100)
		return errors.Join(err, r.Finish(t.Context()), r.Close())
	}
	given := func(when string, lan bool) {
		t.Helper()
		err := store.Walk(t.Context(), root, func(c cid.CID) error {
			if got := s.MayGive(c, "", true); got != lan {
				t.Errorf("%s: give %s to the LAN: got %v, want %v", when, c, got, lan)
			}
			if !s.MayGive(c, "m", false) {
				t.Errorf("%s: %s is not given to the mesh", when, c)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	mark := []string{meshMark("m", root)}

	boom := errors.New("no luck")
	seen := 0
	open(func(step disk.Step, _ string) error {
		if store == nil {
			return nil
		}
		there, err := store.Has(root)
		if got := marks(); err != nil || there != (len(got) > 0) {
			t.Errorf("before step %s: the tree is there: %v (%v), with marks %q", step, there, err, got)
		}
		if there {
			seen++
		}
		if step == disk.StepCommit && seen == 0 {
			return boom
		}
		return nil
	})
	if err := receive("m"); !errors.Is(err, boom) {
		t.Fatalf("got %v, want %v", err, boom)
	}
	if got := marks(); len(got) > 0 {
		t.Errorf("nothing was received, and there are marks: %q", got)
	}
	boom = nil
	if err := receive("m"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(mark, marks()); diff != "" || seen == 0 {
		t.Errorf("marks, seen with the tree at %d steps (-want +got)\n%s", seen, diff)
	}
	given("when it was finished", false)
	stop()
	open(nil)
	given("after a restart", false)
	stop()

	// If the index is lost and the journal is torn after the mark, the store has the mark without the tree.
	tearBehind(t, dir, mark[0])
	open(nil)
	if there, err := store.Has(root); there || err != nil || len(marks()) != 1 {
		t.Fatalf("the tree is there: %v (%v), marks %q; want the mark only", there, err, marks())
	}
	if err := receive("m"); err != nil {
		t.Fatal(err)
	}
	given("received again", false)
	stop()

	// A tree out of the public swarm gets no mesh mark.
	dir = t.TempDir()
	open(nil)
	if err := receive(""); err != nil {
		t.Fatal(err)
	}
	if got := marks(); len(got) > 0 {
		t.Errorf("got marks %q out of the public swarm", got)
	}
	given("out of the public swarm", true)
	stop()
}

// tearBehind removes a store's index, and the part of its journal after the record of a root.
func tearBehind(t *testing.T, dir, root string) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "meta", "journal-*"))
	if err != nil || len(list) != 1 {
		t.Fatalf("journals: %q, %v", list, err)
	}
	text, err := os.ReadFile(list[0])
	if err != nil {
		t.Fatal(err)
	}
	// A record has its length, a checksum, '+', the length of the key, and the key: a letter and the name.
	body := bytes.Index(text, []byte(root)) - 3
	if body < 8 {
		t.Fatal("the journal does not have the root")
	}
	end := body + int(binary.LittleEndian.Uint32(text[body-8:]))
	if err := errors.Join(os.Truncate(list[0], int64(end)), os.RemoveAll(filepath.Join(dir, "index"))); err != nil {
		t.Fatal(err)
	}
}

// Content out of the public swarm goes to the LAN, even after a restart, if no rule matches it. A package that only a mesh has announced
// stays in that mesh, whichever peer sent the content.
func TestSwarmMark(t *testing.T) {
	h := newNode(t)
	h.setShare(t, `[]`)
	s := h.open(t)
	roots, ids := map[string]cid.CID{}, map[string]pir.PID{}
	for _, name := range []string{"plain", "heard", "local", ""} {
		var id pir.PID
		peer, root := castest.Peer(tree(name))
		switch name {
		case "local":
			ids[name], roots[name] = castest.Package(t, h.store, castest.Key(1), name, tree(name))
			continue
		case "":
		default:
			id = castest.Describe(t, h.store, name)
		}
		if name == "heard" {
			s.Hear("m", id)
		}
		roots[name], ids[name] = root, id
		done := s.Expect(id, root)
		r, err := s.Receive(t.Context(), "", root, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = castest.Feed(r.Receiving, peer, rand.New(rand.NewPCG(1, 1)), 100)
		if err = errors.Join(err, r.Finish(t.Context()), r.Close(), s.Arrived(t.Context(), id, root)); err != nil {
			t.Fatal(err)
		}
		done()
		if id.IsZero() {
			continue
		}
		if err := h.store.Bind(t.Context(), castest.Attest(9, id, root)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, s *Sharing, want map[string]bool) {
		t.Helper()
		for name, lan := range want {
			if got := s.MayGive(roots[name], "", true); got != lan {
				t.Errorf("%s: give %q to the LAN: got %v, want %v", when, name, got, lan)
			}
			if s.MayGive(roots[name], "", false) {
				t.Errorf("%s: %q is given to everybody", when, name)
			}
			if name != "" && s.MayTell(ids[name], "", true) != lan {
				t.Errorf("%s: tell the LAN of %q: got %v, want %v", when, name, !lan, lan)
			}
		}
	}
	check("received", s, map[string]bool{"plain": true, "heard": false, "local": false, "": true})
	check("after a restart", h.open(t), map[string]bool{"plain": true, "local": false, "": true})
	if reach := h.open(t).Reach(ids["heard"]); reach != config.Mesh {
		t.Errorf("a mesh's package goes to %s after a restart", reach)
	}
	h.setShare(t, `[{names: "plain", with: mesh}]`)
	check("with a rule for it", h.open(t), map[string]bool{"plain": false, "": true})
	h.setShare(t, `[{names: "*", with: mesh}]`)
	check("with a rule for all", h.open(t), map[string]bool{"plain": false, "": false})
}
