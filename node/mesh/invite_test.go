package mesh

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
)

func newTeam(t *testing.T) *meshNode {
	t.Helper()
	a := newMeshNode(t, 1)
	if err := a.Create("team", "desk", noon); err != nil {
		t.Fatal(err)
	}
	return a
}

func (n *meshNode) invitation(member string, lifetime time.Duration) []byte {
	n.t.Helper()
	token, err := n.Invite("team", member, false, lifetime, noon)
	if err != nil {
		n.t.Fatal(err)
	}
	return token
}

// If an invitation admits no node, a node that shows its token gets the reason, even after a restart and after further invitations. A node
// without the token learns nothing.
func TestRefusals(t *testing.T) {
	a, b, c := newTeam(t), newMeshNode(t, 2), newMeshNode(t, 3)
	used, expiring, revoked, next := a.invitation("", 0), a.invitation("", time.Hour), a.invitation("laptop", 0), a.invitation("", 0)
	if err := a.use(b, used, noon); err != nil {
		t.Fatal(err)
	}
	st, err := a.Status("team", noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range st[0].Offers {
		if o.For == "laptop" {
			err = a.RevokeOffer("team", o.ID, noon)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", "0", st[0].Offers[0].ID[:4], strings.Repeat("0", offerID)} {
		if err := a.RevokeOffer("team", id, noon); protocol.CodeOf(err) != protocol.NotFound {
			t.Errorf("revoke the invitation %q: got %v", id, err)
		}
	}
	if err := a.Revoke("team", b.id()); err != nil {
		t.Fatal(err)
	}
	later := noon.Add(2 * time.Hour)
	if _, err := a.Invite("team", "", false, 0, later); err != nil { // which drops none of these
		t.Fatal(err)
	}
	a.reopen()
	for name, c := range map[string]struct {
		who   *meshNode
		token []byte
		want  string
	}{
		"used":               {c, used, "this invitation was used already, by another node"},
		"expired":            {c, expiring, "this invitation expired on " + noon.Add(time.Hour).In(time.Local).Format(time.DateTime)},
		"revoked":            {c, revoked, "this invitation was revoked"},
		"the key is revoked": {b, next, "this node was revoked in the mesh"},
		"guessed":            {c, append([]byte{used[0] + 1}, used[1:]...), "this invitation is not valid"},
	} {
		err := a.use(c.who, c.token, later)
		if protocol.CodeOf(err) != protocol.Denied || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	// A node that guesses a token only learns that the token is invalid, whatever invitations exist.
	request, err := (&protocol.JoinRequest{Token: []byte("guess")}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	var answers []string
	for _, n := range []*meshNode{a, newTeam(t), newMeshNode(t, 4)} {
		answer, err := n.Invited(c.id(), request, nil, later)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, string(answer))
	}
	if answers[0] != answers[1] || answers[0] != answers[2] {
		t.Errorf("got %q", answers)
	}
	// The node remembers an invitation for a limited time.
	if _, err := a.Invite("team", "", false, 0, noon.Add(invitationMemory+8*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n := len(a.list["team"].invites); n != 1 {
		t.Errorf("%d invitations are remembered", n)
	}
}

// A member has the name that its inviter gives, else the name that it gives itself, and later members learn that name when they join.
func TestNames(t *testing.T) {
	a, b, c, d := newTeam(t), newMeshNode(t, 2), newMeshNode(t, 3), newMeshNode(t, 4)
	for _, join := range []struct {
		who          *meshNode
		given, claim string
	}{{b, "laptop", "liar"}, {c, "", "\x1b[2Jlaptop\n"}, {d, "", ""}} {
		if err := a.useAs(join.who, a.invitation(join.given, 0), join.claim, noon); err != nil {
			t.Fatal(err)
		}
	}
	want := map[protocol.Key]string{a.id(): "desk", b.id(): "laptop", c.id(): "2Jlaptop"}
	for _, n := range []*meshNode{a, c, d} {
		n.reopen()
		st, err := n.Status("team", noon)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, st[0].Names); d != "" {
			t.Errorf("%s: (-want +got)\n%s", n.id(), d)
		}
	}
	// The node still knows the name of a revoked member, and no longer tells it to new members.
	if err := a.Revoke("team", b.id()); err != nil {
		t.Fatal(err)
	}
	e := newMeshNode(t, 5)
	if err := a.useAs(e, a.invitation("", 0), "new", noon); err != nil {
		t.Fatal(err)
	}
	want[e.id()] = "new"
	if d := cmp.Diff(want, a.list["team"].names); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	delete(want, b.id())
	if d := cmp.Diff(want, e.list["team"].names); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}
