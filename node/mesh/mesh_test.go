package mesh

import (
	"bytes"
	"crypto/ed25519"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/protocol"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func testKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

// A meshNode has the meshes of a node, opened from its folder.
type meshNode struct {
	*Meshes
	t *testing.T
}

func newMeshNode(t *testing.T, seed byte) *meshNode {
	t.Helper()
	n := &meshNode{t: t}
	n.open(filepath.Join(t.TempDir(), "a[b]c"), testKey(seed)) // a pattern, if it were taken for one
	return n
}

func (n *meshNode) open(dir string, key ed25519.PrivateKey) {
	n.t.Helper()
	m, err := Open(dir, key, slog.New(slog.DiscardHandler))
	if err != nil {
		n.t.Fatal(err)
	}
	n.Meshes = m
}

func (n *meshNode) reopen()          { n.open(n.dir, n.key) }
func (n *meshNode) id() protocol.Key { return protocol.KeyOf(n.key) }

// join makes other join the mesh team with a new invitation of n.
func (n *meshNode) join(other *meshNode, invites bool) error {
	n.t.Helper()
	token, err := n.Invite("team", "", invites, 0, noon)
	if err != nil {
		return err
	}
	return n.use(other, token, noon)
}

func (n *meshNode) use(other *meshNode, token []byte, now time.Time) error {
	n.t.Helper()
	return n.useAs(other, token, "", now)
}

func (n *meshNode) useAs(other *meshNode, token []byte, name string, now time.Time) error {
	n.t.Helper()
	request, err := (&protocol.JoinRequest{Token: token, Name: name}).Encode()
	if err != nil {
		n.t.Fatal(err)
	}
	answer, err := n.Invited(other.id(), request, func(string) []string { return []string{"/ip4/127.0.0.1/tcp/1/p2p/x"} }, now)
	if err != nil {
		return err
	}
	_, err = other.Joined(answer, now)
	return err
}

// meets returns the reason why n does not admit other, or nil.
func (n *meshNode) meets(other *meshNode, now time.Time) error {
	n.t.Helper()
	credential, err := other.Credential("team")
	if err != nil {
		n.t.Fatal(err)
	}
	_, err = n.Admit("team", other.id(), credential, now)
	return err
}

func TestMeshes(t *testing.T) {
	a, b, c, d := newMeshNode(t, 1), newMeshNode(t, 2), newMeshNode(t, 3), newMeshNode(t, 4)
	if err := a.Create("team", "", noon); err != nil {
		t.Fatal(err)
	}
	if err := a.Create("team", "", noon); protocol.CodeOf(err) != protocol.Invalid {
		t.Errorf("a second team: got %v", err)
	}
	if err := a.Create("No Name", "", noon); protocol.CodeOf(err) != protocol.Invalid {
		t.Errorf("no name: got %v", err)
	}
	if err := a.join(b, true); err != nil {
		t.Fatal(err)
	}
	if err := b.join(c, false); err != nil {
		t.Fatal(err)
	}
	if err := c.join(d, false); protocol.CodeOf(err) != protocol.Denied {
		t.Errorf("c may not invite: got %v", err)
	}
	if err := b.join(d, true); protocol.CodeOf(err) != protocol.Denied {
		t.Errorf("b may not let others invite: got %v", err)
	}
	for range 2 { // before and after a restart
		for _, x := range []*meshNode{a, b, c} {
			for _, y := range []*meshNode{a, b, c} {
				if err := x.meets(y, noon); err != nil {
					t.Errorf("%s meets %s: %v", x.id(), y.id(), err)
				}
			}
			x.reopen()
		}
	}
	// A node cannot use the credential of another one.
	shown, err := b.Credential("team")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Admit("team", d.id(), shown, noon); err == nil {
		t.Error("d was let in by the credential of b")
	}
	if _, err := a.Admit("team", d.id(), []byte("{}"), noon); err == nil {
		t.Error("d was let in by nothing")
	}

	// All members refuse a revoked member and the members that it has admitted. c learns of the revocation from a.
	if err := b.Revoke("team", c.id()); protocol.CodeOf(err) != protocol.Denied {
		t.Errorf("b is not the authority: got %v", err)
	}
	if err := a.Revoke("team", a.id()); protocol.CodeOf(err) != protocol.Invalid {
		t.Errorf("the authority itself: got %v", err)
	}
	if err := a.join(d, false); err != nil {
		t.Fatal(err)
	}
	if err := a.Revoke("team", b.id()); err != nil {
		t.Fatal(err)
	}
	changed := ""
	d.Changed = func(name string) { changed = name }
	if err := d.meets(b, noon); err != nil {
		t.Errorf("d has not heard yet: %v", err)
	}
	if err := d.meets(a, noon); err != nil || changed != "team" {
		t.Errorf("d meets a: %v, changed %q", err, changed)
	}
	for _, x := range []*meshNode{a, d} {
		x.reopen()
		for _, y := range []*meshNode{b, c} {
			if err := x.meets(y, noon); err == nil || !strings.Contains(err.Error(), "was revoked") {
				t.Errorf("%s meets %s: got %v, want it revoked", x.id(), y.id(), err)
			}
		}
	}
	st, err := d.Status("team", noon)
	if err != nil || !slices.Equal(st[0].Revoked, []protocol.Key{b.id()}) {
		t.Errorf("got %+v, %v", st, err)
	}
	if err := a.join(b, false); err == nil {
		t.Error("who was revoked came back by an invitation")
	}
	if err := d.Leave("team"); err != nil {
		t.Fatal(err)
	}
	d.reopen()
	if _, err := d.Status("team", noon); protocol.CodeOf(err) != protocol.NotFound {
		t.Errorf("after leaving: got %v", err)
	}
}

func TestInvitations(t *testing.T) {
	a, b, c := newMeshNode(t, 1), newMeshNode(t, 2), newMeshNode(t, 3)
	if err := a.Create("team", "", noon); err != nil {
		t.Fatal(err)
	}
	token, err := a.Invite("team", "", false, time.Hour, noon)
	if err != nil {
		t.Fatal(err)
	}
	a.reopen()
	if !a.Inviting(noon) || a.Inviting(noon.Add(2*time.Hour)) {
		t.Error("whether an invitation holds is wrong")
	}
	if err := a.use(b, token, noon.Add(2*time.Hour)); err == nil {
		t.Error("an expired invitation was taken")
	}
	if err := a.use(b, append([]byte{1}, token[1:]...), noon); err == nil {
		t.Error("a guessed invitation was taken")
	}
	for range 2 { // twice, because the first answer may have been lost
		if err := a.use(b, token, noon); err != nil {
			t.Error(err)
		}
		a.reopen()
	}
	if err := a.use(c, token, noon); err == nil {
		t.Error("an invitation was taken twice")
	}
	if a.Inviting(noon) {
		t.Error("a used invitation still holds")
	}
	// A node distinguishes another mesh of the same name.
	other := newMeshNode(t, 5)
	if err := other.Create("team", "", noon); err != nil {
		t.Fatal(err)
	}
	if err := other.join(b, false); protocol.CodeOf(err) != protocol.Invalid {
		t.Errorf("another team: got %v", err)
	}
	if err := other.meets(b, noon); err == nil {
		t.Error("a member of another mesh was let in")
	}
}

// A member that admits others cannot give them a forged list of revocations, nor one older than the list that they know.
func TestJoinedRevocations(t *testing.T) {
	a, b, c, d := newMeshNode(t, 1), newMeshNode(t, 2), newMeshNode(t, 3), newMeshNode(t, 4)
	if err := a.Create("team", "", noon); err != nil {
		t.Fatal(err)
	}
	if err := a.join(b, true); err != nil {
		t.Fatal(err)
	}
	// answer returns the answer that b gives c, with other revocations in it.
	answer := func(revoked *protocol.Revocations) []byte {
		t.Helper()
		token, err := b.Invite("team", "", false, 0, noon)
		if err != nil {
			t.Fatal(err)
		}
		request, err := (&protocol.JoinRequest{Token: token}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		given, err := b.Invited(c.id(), request, func(string) []string { return nil }, noon)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := protocol.DecodeJoinAnswer(given)
		if err != nil {
			t.Fatal(err)
		}
		credential, err := protocol.DecodeCredential(answer.Credential)
		if err != nil {
			t.Fatal(err)
		}
		credential.Revoked = revoked
		if answer.Credential, err = credential.Encode(); err != nil {
			t.Fatal(err)
		}
		if given, err = answer.Encode(); err != nil {
			t.Fatal(err)
		}
		return given
	}
	forged := &protocol.Revocations{Mesh: a.list["team"].mesh.ID(), Number: 1 << 62, Keys: []protocol.Key{d.id()}}
	if err := forged.Sign(b.key); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Joined(answer(forged), noon); err == nil {
		t.Error("c took revocations that the authority has not signed")
	}
	if err := a.Revoke("team", d.id()); err != nil {
		t.Fatal(err)
	}
	first := a.list["team"].credential.Revoked
	if err := a.Revoke("team", newMeshNode(t, 9).id()); err != nil {
		t.Fatal(err)
	}
	second := a.list["team"].credential.Revoked
	for _, r := range []*protocol.Revocations{second, first, nil} {
		if _, err := c.Joined(answer(r), noon); err != nil {
			t.Fatal(err)
		}
		if got := c.list["team"].credential.Revoked; got == nil || got.Number != second.Number {
			t.Errorf("got %+v, want number %d", got, second.Number)
		}
	}
	if err := b.meets(c, noon); err != nil {
		t.Errorf("b meets c: %v", err)
	}
}

// If at most a third of a membership's lifetime is left, it is renewed when the member meets the node that has admitted it, or the authority.
func TestRenewed(t *testing.T) {
	a, b, c := newMeshNode(t, 1), newMeshNode(t, 2), newMeshNode(t, 3)
	if err := a.Create("team", "", noon); err != nil {
		t.Fatal(err)
	}
	if err := a.join(b, true); err != nil {
		t.Fatal(err)
	}
	if err := b.join(c, false); err != nil {
		t.Fatal(err)
	}
	meet := func(x, y *meshNode, now time.Time) []byte {
		t.Helper()
		shown, err := y.Credential("team")
		if err != nil {
			t.Fatal(err)
		}
		renewed, err := x.Admit("team", y.id(), shown, now)
		if err != nil {
			t.Fatalf("%s meets %s: %v", x.id(), y.id(), err)
		}
		return renewed
	}
	expires := func(x *meshNode) time.Time { return ends(&x.list["team"].credential) }
	late := noon.Add(protocol.CertificateLifetime * 3 / 4)
	first := expires(c)
	if meet(a, b, noon.Add(time.Hour)) != nil || meet(a, c, noon.Add(time.Hour)) != nil {
		t.Error("renewed before it was time")
	}
	if meet(c, b, late) != nil || meet(b, a, late) != nil {
		t.Error("renewed by who may not")
	}
	if meet(b, c, late) != nil {
		t.Error("b renews c for no longer than b may be here itself")
	}
	byA := meet(a, b, late)
	if err := c.Renewed("team", byA, late); err == nil {
		t.Error("c took what is for b")
	}
	if err := b.Renewed("team", byA, late); err != nil || !expires(b).After(late.Add(protocol.CertificateLifetime/2)) || !b.list["team"].credential.Chain[0].Invites {
		t.Errorf("b: %v, until %s", err, expires(b))
	}
	byB := meet(b, c, late)
	if err := c.Renewed("team", byB, late); err != nil || !expires(c).After(first) {
		t.Errorf("c: %v, until %s", err, expires(c))
	}
	c.reopen()
	if err := a.meets(c, first.Add(time.Hour)); err != nil {
		t.Errorf("c after its first time: %v", err)
	}
	if meet(a, c, late) != nil {
		t.Error("renewed twice")
	}
	// A revoked member gets no renewal, nor does a member that a revoked member has admitted.
	if err := a.Revoke("team", b.id()); err != nil {
		t.Fatal(err)
	}
	if err := a.meets(c, late); err == nil {
		t.Error("c is still here")
	}
}
