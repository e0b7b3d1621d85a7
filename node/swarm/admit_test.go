package swarm

import (
	"errors"
	"testing"

	"github.com/MordragT/nuka/protocol"
)

// In a mesh a peer without a credential that admits it gets no answer from any protocol.
func TestAdmit(t *testing.T) {
	there := newMemory()
	root := there.tree(t, 3, 3)
	var revoked protocol.Key
	mesh := func(credential string) func(*Options) {
		return func(o *Options) {
			o.Prefix, o.Credential = "/nuka-mesh", shows(credential)
			o.Admit = func(key protocol.Key, credential []byte) ([]byte, error) {
				if string(credential) != "member" || key == revoked {
					return nil, errors.New("no member")
				}
				return nil, nil
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
		func(o *Options) { o.Prefix = "/nuka-mesh" }, // shows no credential, and asks at once
		func(o *Options) {
			mesh("")(o)
			o.Admit = func(protocol.Key, []byte) ([]byte, error) { return nil, nil }
		},
	} {
		c := start(t, byte(3+n), newMemory(), change)
		ticket := &protocol.Ticket{Node: b.host.Key(), Addresses: b.Addresses()}
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
	revoked = a.host.Key()
	b.Renew()
	until(t, "an end of the connection to a revoked member", func() bool { return len(a.Peers()) == 0 })
}

func shows(credential string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(credential), nil }
}
