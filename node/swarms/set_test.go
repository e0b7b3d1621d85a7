package swarms

import (
	"bytes"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/node/mesh"
	"github.com/MordragT/nuka/node/sharing"
	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/trust"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// TestMain checks that every goroutine that a test starts has ended.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func tree(text string) fs.FS { return fstest.MapFS{"text": {Data: []byte(text)}} }

func noRefs(pir.PID) ([]pir.PID, error) { return nil, nil }

// A testSet is a Set in no swarm, and its store.
type testSet struct {
	*Set
	store *cas.Store
}

func newSet(t testing.TB) *testSet {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	store := castest.Open(t, filepath.Join(dir, "store"), nil)
	o := &Options{Dir: dir, Store: store, Key: castest.Key(1), Log: log}
	var err error
	if o.Heads, err = trust.OpenHeads(filepath.Join(dir, "heads"), log); err != nil {
		t.Fatal(err)
	}
	if o.Policy, err = trust.OpenPolicy(filepath.Join(dir, "policy")); err != nil {
		t.Fatal(err)
	}
	if o.Meshes, err = mesh.Open(filepath.Join(dir, "meshes"), o.Key, log); err != nil {
		t.Fatal(err)
	}
	s := &testSet{New(o), store}
	s.share(t, "[]")
	return s
}

// share gives the Set new share rules, which take effect as at the start of a node.
func (s *testSet) share(t testing.TB, rules string) *sharing.Sharing {
	t.Helper()
	path := filepath.Join(s.o.Dir, "config.nuon")
	err := os.WriteFile(path, []byte("{share: "+rules+"}"), 0o600)
	if err == nil {
		s.o.Config, err = config.Open(path)
	}
	if err == nil {
		s.Sharing, err = sharing.Open(t.Context(), s.store, s.o.Config.Get, noRefs)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s.Sharing
}

func TestSpeak(t *testing.T) {
	s := newSet(t)
	mine, root := castest.Package(t, s.store, s.o.Key, "mine", tree("mine"))
	castest.Package(t, s.store, s.o.Key, "private", tree("private"))
	castest.Package(t, s.store, castest.Key(9), "other", tree("other"))
	if _, err := s.Sharing.Share(t.Context(), mine, root, noRefs); err != nil {
		t.Fatal(err)
	}
	speak := func(at time.Time) *protocol.Head {
		said, err := s.ownStatements()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.o.Heads.Speak(s.o.Key, said, at); err != nil {
			t.Fatal(err)
		}
		return s.o.Heads.Known()[protocol.KeyOf(s.o.Key)]
	}
	first := speak(noon)
	if first.Number != 1 || first.Root.IsZero() {
		t.Fatalf("got %+v", first)
	}
	var list bytes.Buffer
	said, err := s.ownStatements()
	if err == nil {
		err = protocol.EncodeStatements(&list, said)
	}
	if err != nil || len(said) != 1 || said[0].PID != mine {
		t.Fatalf("got %v, %v; want what is shared and ours, no more and no less", said, err)
	}
	if want := cid.Sum(cid.Raw, list.Bytes()); first.Root != want {
		t.Errorf("the head names %s, want the hash of the list %s", first.Root, want)
	}
	files := func() int {
		st, err := s.store.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st.Files + st.Roots
	}
	before := files()
	speak(noon.Add(time.Minute))
	if after := files(); after != before {
		t.Errorf("%d files and roots after a head, %d before", after, before)
	}
	if again := speak(noon.Add(time.Hour)); again.Number != 1 {
		t.Errorf("got head %d though nothing was new", again.Number)
	}
	if again := speak(noon.Add(protocol.HeadLifetime * 3 / 4)); again.Number != 2 {
		t.Errorf("got head %d, want a new one before the old one expires", again.Number)
	}
}

// Case 10: a node notes signers whose clocks are ahead. Their heads count if the clock is ahead by up to a day. The node does not blame a peer
// for a head that does not count.
func TestClocks(t *testing.T) {
	s := newSet(t)
	var log bytes.Buffer
	var err error
	if s.o.Heads, err = trust.OpenHeads(t.TempDir(), slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	signer := protocol.KeyOf(castest.Key(1))
	if err := s.o.Policy.Add(&protocol.TrustArgs{Key: signer}); err != nil {
		t.Fatal(err)
	}
	y := &system{s: s.Set}
	for i, c := range []struct {
		ahead, told time.Duration
		counts      bool
	}{
		{5 * time.Hour, 5 * time.Hour, true},
		{30 * time.Hour, 30 * time.Hour, false},
		{-protocol.HeadLifetime - time.Hour, 0, false}, // the head has expired, and the peer that sends it knows no newer one
		{0, 0, true},
		{-23 * time.Hour, 0, true},
	} {
		head := &protocol.Head{Number: int64(i + 1), Issued: time.Now().Add(c.ahead)}
		head.Expires = head.Issued.Add(protocol.HeadLifetime)
		if err := head.Sign(castest.Key(1)); err != nil {
			t.Fatal(err)
		}
		text, err := head.Encode()
		if err != nil {
			t.Fatal(err)
		}
		log.Reset()
		if err := y.Learn(t.Context(), text); err != nil {
			t.Errorf("%s ahead: %v", c.ahead, err)
		}
		if known := s.o.Heads.Known()[signer]; (known != nil && known.Number == head.Number) != c.counts {
			t.Errorf("%s ahead: got %+v, want it to count: %v", c.ahead, known, c.counts)
		}
		ahead := s.o.Heads.Ahead()[signer]
		if ahead > c.told || ahead < c.told-time.Minute {
			t.Errorf("%s ahead: the clock is noted as %s ahead", c.ahead, ahead)
		}
		if i == 0 && !bytes.Contains(log.Bytes(), []byte("the clock of a signer is ahead")) {
			t.Errorf("the log has %q", log.String())
		}
	}
}

// A package whose name is unknown goes no farther than it could go under any name, and its PIR goes as far as its statements.
func TestSharingUnknownName(t *testing.T) {
	n := newSet(t)
	described, root := castest.Package(t, n.store, n.o.Key, "plain", tree("plain"))
	unknown := pir.Sum([]byte("unknown"))
	a := protocol.Attestation{PID: unknown, CID: root, Size: 1, Issued: noon}
	if err := a.Sign(castest.Key(9)); err != nil {
		t.Fatal(err)
	}
	if err := n.store.Bind(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	file, err := (&pir.PIR{Kind: pir.Data, Name: "plain-file", Data: "nobody was told of it"}).Encode()
	if err == nil {
		err = n.store.PutPIR(t.Context(), pir.Sum(file), file, []byte("[]"))
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
		s := n.share(t, rules)
		told, given := "", ""
		for _, c := range []struct {
			who, mesh string
			private   bool
		}{{"all", "", false}, {"lan", "", true}, {"m", "m", false}, {"n", "n", false}} {
			if s.MayTell(unknown, c.mesh, c.private) {
				told += c.who + " "
			}
			y := &system{s: n.Set, mesh: c.mesh}
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

// Peers get the blocks that Sharing lets go to them, and no others, in both ways to ask for one.
func TestSystemGives(t *testing.T) {
	s := newSet(t)
	_, root := castest.Package(t, s.store, s.o.Key, "plain", tree("plain"))
	for rules, want := range map[string]string{
		`[{names: "*", with: off}]`: "", `[{names: "*", with: lan}]`: "lan m n ", `[{names: "*", with: "mesh:m"}]`: "m ", `[{names: "*", with: public}]`: "all lan m n ",
	} {
		s.share(t, rules)
		block, appended := "", ""
		for _, c := range []struct {
			who, mesh string
			private   bool
		}{{"all", "", false}, {"lan", "", true}, {"m", "m", false}, {"n", "n", false}} {
			y, to := &system{s: s.Set, mesh: c.mesh}, routing.Requester{Private: c.private}
			if _, err := y.Block(t.Context(), root, to); err == nil {
				block += c.who + " "
			}
			if _, err := y.AppendBlock(t.Context(), root, to, nil); err == nil {
				appended += c.who + " "
			}
		}
		if block != want || appended != want {
			t.Errorf("rules %s: Block gives to %q and AppendBlock to %q, want %q", rules, block, appended, want)
		}
	}
}
