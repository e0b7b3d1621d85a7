package swarm

import (
	"errors"
	"testing"

	"github.com/MordragT/nuka/protocol"
)

// In a mesh nobody gets an answer, of any protocol, who has not shown what admits it.
func TestAdmit(t *testing.T) {
	there := newMemory()
	root := there.tree(t, 3, 3)
	var revoked protocol.Key
	mesh := func(credential string) func(*Options) {
		return func(o *Options) {
			o.Prefix, o.Credential = "/nuka-mesh", []byte(credential)
			o.Admit = func(key protocol.Key, credential []byte) error {
				if string(credential) != "member" || key == revoked {
					return errors.New("no member")
				}
				return nil
			}
		}
	}
	b := start(t, 2, there, mesh("member"))
	here := newMemory()
	a := start(t, 1, here, mesh("member"))
	connect(t, a, b)
	if err := a.Fetch(t.Context(), root, 0, nil); err != nil {
		t.Error(err)
	}
	for n, change := range []func(*Options){
		mesh("stranger"),
		func(o *Options) { o.Prefix = "/nuka-mesh" }, // shows nothing, and asks at once
		func(o *Options) { mesh("")(o); o.Admit = func(protocol.Key, []byte) error { return nil } },
	} {
		c := start(t, byte(3+n), newMemory(), change)
		ticket := &protocol.Ticket{Node: protocol.KeyOf(b.o.Key), Addresses: b.Addresses()}
		err := c.Connect(t.Context(), ticket.String())
		if err == nil {
			err = c.Fetch(t.Context(), root, 0, nil)
		}
		if err == nil {
			t.Errorf("stranger %d is answered", n)
		}
	}
	if n := len(b.Peers()); n != 1 {
		t.Errorf("got %d peers, want the member", n)
	}
	revoked = protocol.KeyOf(a.o.Key)
	b.lookAgain()
	until(t, "an end of the connection to a revoked member", func() bool { return len(a.Peers()) == 0 })
	if _, err := New(&Options{Key: key(1), System: here, Credential: make([]byte, MaxCredential+1)}); err == nil {
		t.Error("a credential that is too long is taken")
	}
}
