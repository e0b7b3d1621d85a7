package testnet

import (
	"strings"
	"testing"
	"time"
)

// TestMesh has a mesh on a network where no machine knows an address: members get each other's packages, other nodes get none, packages of
// the mesh do not leave it, and a revoked member is excluded.
func TestMesh(t *testing.T) {
	n := New(t, programs)
	const team = `{listen: [/ip4/0.0.0.0/tcp/0, /ip4/0.0.0.0/udp/0/quic-v1], share: [{names: "app", with: "mesh:team"}]}`
	a, b, c, stranger := n.Node(team), n.Node("{apart: true}"), n.Node("{}"), n.Node("{}")
	a.Must(packages, "mesh", "create", "team")
	ticket := a.Must(packages, "mesh", "invite", "team")
	b.Must(packages, "mesh", "join", ticket)
	// An invitation can be used once.
	if r := c.Nuka(packages, "mesh", "join", ticket); r.Code != 4 {
		t.Errorf("a ticket was used twice: exit %d, %s", r.Code, r.Err)
	}
	if r := b.Nuka(packages, "mesh", "invite", "team"); r.Code != 4 {
		t.Errorf("a member that may not invite did: exit %d, %s", r.Code, r.Err)
	}
	c.Must(packages, "mesh", "join", a.Must(packages, "mesh", "invite", "team", "--may-invite"))

	pid := strings.Fields(a.Must(packages, "build", "./app.nu"))[0]
	for _, d := range []*Node{b, stranger} {
		d.Must(packages, "trust", "add", a.Key(), "--yes")
	}
	eventually(t, 20*time.Second, func() string { return failure(b.Nuka(packages, "get", pid)) })
	if out := b.Must(packages, "run", "./app.nu"); out != "hello from app" {
		t.Errorf("got %q", out)
	}
	if out := b.Must(packages, "mesh", "members"); !strings.Contains(out, a.Key()) {
		t.Errorf("b does not know a:\n%s", out)
	}
	// The stranger is connected to both in the public swarm, but they answer it nothing about the mesh.
	stranger.Must(packages, "swarm", "connect", ticketOf(t, a))
	stranger.Must(packages, "swarm", "connect", ticketOf(t, b))
	if r := stranger.Nuka(packages, "get", pid); r.Code == 0 {
		t.Error("a package of the mesh has left it")
	}
	for _, d := range []*Node{a, b} {
		if r := d.Nuka(packages, "share", pid); r.Code != 4 {
			t.Errorf("node %d: share: exit %d, %s; want denied", d.n, r.Code, r.Err)
		}
	}

	// c, which may invite, admits a fourth node; a finds it without an address.
	fourth := n.Node("{}")
	fourth.Must(packages, "mesh", "join", c.Must(packages, "mesh", "invite", "team"))
	fourth.Must(packages, "trust", "add", a.Key(), "--yes")
	eventually(t, 20*time.Second, func() string { return failure(fourth.Nuka(packages, "get", pid)) })

	// b is revoked: the others learn of it, and b gets nothing new.
	a.Must(packages, "mesh", "revoke", "team", b.Key(), "--yes")
	next := strings.Fields(a.Must(packages, "build", "./app.nu", "--text", "secret"))[0]
	c.Must(packages, "trust", "add", a.Key(), "--yes")
	eventually(t, 20*time.Second, func() string { return failure(c.Nuka(packages, "get", next)) })
	if r := b.Nuka(packages, "get", next); r.Code == 0 {
		t.Error("who was revoked got a package")
	}
	eventually(t, 20*time.Second, func() string {
		if out := c.Must(packages, "mesh", "members", "team"); !strings.Contains(out, "revoked") {
			return out
		}
		return ""
	})
	if r := b.Nuka(packages, "mesh", "revoke", "team", c.Key(), "--yes"); r.Code != 4 {
		t.Errorf("who is not the authority revoked somebody: exit %d, %s", r.Code, r.Err)
	}
	c.Must(packages, "mesh", "leave", "team", "--yes")
	if r := c.Nuka(packages, "mesh", "members", "team"); r.Code != 3 {
		t.Errorf("after leaving: exit %d, %s", r.Code, r.Err)
	}
}
