package testnet

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// lie makes a stopped node attest, with its own key, another content for a package, and store that content.
func lie(t *testing.T, d *Node, pkg string, says ...string) {
	t.Helper()
	id, err := pir.ParsePID(pkg)
	if err != nil {
		t.Fatal(err)
	}
	home := protocol.Home{Data: d.Home}
	key, err := control.LoadKey(home.NodeKey())
	if err != nil {
		t.Fatal(err)
	}
	store, err := cas.Open(home.Store(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for i, text := range says {
		root, err := store.Import(t.Context(), fstest.MapFS{
			"bin/app": &fstest.MapFile{Data: []byte(text), Mode: 0o755}, "text": &fstest.MapFile{Data: []byte(text), Mode: 0o644},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		a := protocol.Attestation{PID: id, CID: root, Size: int64(2 * len(text)), Issued: time.Now().Add(time.Duration(i) * time.Second)}
		if err := a.Sign(ed25519.PrivateKey(key)); err != nil {
			t.Fatal(err)
		}
		if err := store.Bind(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLyingBuilder has two builders that agree, one that lies, and nodes that request the package.
func TestLyingBuilder(t *testing.T) {
	n := New(t, programs)
	a, b, liar := n.Node("{}"), n.Node("{}"), n.Node("{}")
	pid := a.Must(packages, "eval", "./app.nu")
	want := a.Must(packages, "build", "./app.nu")
	b.Must(packages, "build", "./app.nu")
	a.Must(packages, "share", "./app.nu")
	b.Must(packages, "share", "./app.nu")
	lie(t, liar, pid, "a lie")
	liar.Must(packages, "share", pid)

	// 2 of 3: the node takes the content with two votes, and shows the disagreement.
	c := n.Node("{}")
	c.Must(packages, "trust", "add", a.Key(), "--yes", "--label", "ann")
	c.Must(packages, "trust", "add", b.Key(), "--yes", "--label", "ben")
	c.Must(packages, "trust", "add", liar.Key(), "--yes", "--label", "liz", "--need", "2")
	r := c.Nuka(packages, "run", "./app.nu")
	if r.Code != 0 || r.Out != "hello from app" || strings.Contains(r.Err, "built") {
		t.Errorf("2 of 3: got %d %q, %s\nlog: %s", r.Code, r.Out, r.Err, c.Log())
	}
	if got := c.Must(packages, "build", "./app.nu"); got != want {
		t.Errorf("got %s, want what was agreed on, %s", got, want)
	}
	why := c.Must(packages, "trust", "why", pid)
	agreed := strings.Fields(want)[1]
	for _, text := range []string{"way  received", "2 of 3 signers agree, 2 are needed", "ann, counts", "ben, counts", "liz"} {
		if !strings.Contains(squeeze(why), squeeze(text)) {
			t.Errorf("trust why does not say %q:\n%s", text, why)
		}
	}
	if strings.Count(why, agreed) < 3 { // cid and two votes
		t.Errorf("trust why does not show who said what:\n%s", why)
	}

	// The liar's vote alone is not enough: the node builds the package.
	d := n.Node("{}")
	absent := protocol.KeyOf(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))).String()
	d.Must(packages, "trust", "add", liar.Key(), "--yes")
	d.Must(packages, "trust", "add", absent, "--yes", "--need", "2")
	r = d.Nuka(packages, "run", "./app.nu")
	if r.Code != 0 || r.Out != "hello from app" || !strings.Contains(r.Err, "built app") {
		t.Errorf("the liar alone: got %d %q, %s", r.Code, r.Out, r.Err)
	}

	// A signer that claims two contents has no vote, however few are needed.
	e, twice := n.Node("{}"), n.Node("{}")
	lie(t, twice, pid, "a lie", "another lie")
	twice.Must(packages, "share", pid)
	e.Must(packages, "trust", "add", twice.Key(), "--yes", "--label", "two-faced")
	r = e.Nuka(packages, "run", "./app.nu")
	if r.Code != 0 || !strings.Contains(r.Err, "built app") {
		t.Errorf("equivocation: got %d %q, %s", r.Code, r.Out, r.Err)
	}
	if why := e.Must(packages, "explain", pid); !strings.Contains(why, "two-faced") || !strings.Contains(why, "its statements name 2 different contents") {
		t.Errorf("explain does not tell the equivocation:\n%s", why)
	}
}

// squeeze replaces each run of white space by one space.
func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

// TestTrustByName has a policy that trusts a builder for some packages only: the node takes the others from no one.
func TestTrustByName(t *testing.T) {
	n := New(t, programs)
	a, b := n.Node("{}"), n.Node("{}")
	a.Must(packages, "share", "./app.nu")
	b.Must(packages, "trust", "add", a.Key(), "--names", "tool*")
	r := b.Nuka(packages, "build", "./app.nu")
	if r.Code != 0 || !strings.Contains(r.Err, "built app") || strings.Contains(r.Err, "built tool") {
		t.Errorf("got %d, %s; want app built and tool received", r.Code, r.Err)
	}
}

// TestOff checks that a package with scope off is not sent, even if its owner is trusted and on the same network.
func TestOff(t *testing.T) {
	n := New(t, programs)
	a, b := n.Node(`{share: [{names: "app", with: off}]}`), n.Node("{}")
	out := a.Must(packages, "build", "./app.nu")
	if r := a.Nuka(packages, "share", "./app.nu"); r.Code != 4 {
		t.Errorf("share: got %d, %s; want denied", r.Code, r.Err)
	}
	a.Must(packages, "share", "./tool.nu") // now it is in the swarm
	b.Must(packages, "trust", "add", a.Key(), "--yes")
	r := b.Nuka(packages, "build", "./app.nu")
	if r.Code != 0 || !strings.Contains(r.Err, "built app") {
		t.Errorf("got %d, %s; want it built", r.Code, r.Err)
	}
	// Nor by its CID, if only a has it.
	b.Kill()
	c := n.Node("{}")
	c.Must(packages, "swarm", "connect", ticketOf(t, a))
	if r := c.Nuka(packages, "get", strings.Fields(out)[1]); r.Code == 0 {
		t.Errorf("a gave what it shares with nobody: %s", r.Err)
	}
}

func ticketOf(t *testing.T, d *Node) string {
	t.Helper()
	f := strings.Fields(d.Must(d.Home, "swarm", "status"))
	return f[len(f)-1]
}
