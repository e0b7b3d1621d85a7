package node

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/node/swarm"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// An arrivingCase is a tree, and to whom it is given.
type arrivingCase struct {
	what string
	name string // of the package whose content it is; empty: known by its CID alone
	mesh string // out of which it comes
	want string
}

// A tree that is being received is given to those to whom the finished package is given, at every moment.
func TestArriving(t *testing.T) {
	testArriving(t, `[{names: "secret*", with: off}, {names: "team*", with: "mesh:m"}, {names: "open*", with: public}]`, []arrivingCase{
		{"plain", "plain", "", "lan m n"},
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

// What is known by its CID alone goes as far as the rule for "*" says.
func TestArrivingNameless(t *testing.T) {
	for rest, want := range map[string][2]string{"off": {"", ""}, "lan": {"lan m n", "m"}, "mesh:m": {"m", "m"}, "mesh:n": {"n", ""}, "public": {"lan m n", "m"}} {
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
	h := newHandler(t)
	setShare(t, h, rules)
	s := h.sharing
	s.config = h.config.Get
	known := func(name string) pir.PID {
		canonical, err := (&pir.PIR{Kind: pir.Data, Name: name, Data: name}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		id := pir.Sum(canonical)
		if err := h.store.PutPIR(t.Context(), id, canonical, nil); err != nil {
			t.Fatal(err)
		}
		return id
	}
	s.hear("m", known("heard"))
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
				_, err := (&system{s: h.swarms, mesh: a.mesh}).Block(t.Context(), b, swarm.Asker{Private: a.private})
				if may := strings.Contains(want, a.who); may != (err == nil) {
					t.Errorf("%s, %s: give %s to %s: got %v, want it given: %v", c.what, when, b, a.who, err, may)
				}
			}
		}
		peer, root := castest.Peer(fstest.MapFS{"one": {Data: []byte("one of " + c.what)}, "two": {Data: []byte("two of " + c.what)}})
		done := s.expect(id, root)
		receive := func(mesh string) swarm.Receiver {
			r, err := (&system{s: h.swarms, mesh: mesh}).Receive(t.Context(), root, 0)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		put := func(r swarm.Receiver, b cid.CID) {
			data, err := peer.Block(t.Context(), b)
			if err == nil {
				err = r.Put(cid.Block{CID: b, Data: data})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		// Another mesh was tried before, which had the root only: the tree is not one of that mesh.
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
		if err := s.arrived(t.Context(), id, c.mesh, root); err != nil {
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
