package peers

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/MordragT/nuka/protocol"
)

func shows(credential string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(credential), nil }
}

// A changed credential is shown to connected peers, and the connections stay.
func TestRenew(t *testing.T) {
	var mu sync.Mutex
	number, seen, renewed := 1, map[protocol.Key]string{}, map[string]int{}
	mesh := func(show func() ([]byte, error)) func(*Options) {
		return func(o *Options) {
			o.Prefix, o.Credential = "/nuka-mesh", show
			o.Admit = func(key protocol.Key, credential []byte) ([]byte, error) {
				mu.Lock()
				defer mu.Unlock()
				seen[key] = string(credential)
				return append([]byte("newer than "), credential...), nil
			}
			o.Renewed = func(credential []byte) error {
				mu.Lock()
				defer mu.Unlock()
				renewed[string(credential)]++
				return nil
			}
		}
	}
	a := start(t, 1, mesh(func() ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		return fmt.Append(nil, "credential ", number), nil
	}))
	b := start(t, 2, mesh(shows("b")))
	connect(t, a, b)
	before := b.host.Network().ConnsToPeer(a.host.ID())
	shown := func(want string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return seen[protocol.KeyOf(key(1))] == want
		}
	}
	mu.Lock()
	number++
	mu.Unlock()
	a.Renew()
	until(t, "the new credential", shown("credential 2"))
	until(t, "one that is newer still", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return renewed["newer than credential 2"] == 1
	})
	if after := b.host.Network().ConnsToPeer(a.host.ID()); !slices.Equal(before, after) || len(after) == 0 {
		t.Errorf("got connections %v, want %v", after, before)
	}
}

// A peer that disconnects while it shows its credential may come back soon: it was not refused.
func TestGoneWhileGreeting(t *testing.T) {
	var slow atomic.Bool
	slow.Store(true)
	mesh := func(show func() ([]byte, error)) func(*Options) {
		return func(o *Options) {
			o.Prefix, o.Credential, o.Admit = "/nuka-mesh", show, func(protocol.Key, []byte) ([]byte, error) { return nil, nil }
		}
	}
	a := start(t, 1, mesh(func() ([]byte, error) {
		if slow.Load() {
			return nil, errors.New("not now")
		}
		return []byte("a"), nil
	}))
	b := start(t, 2, mesh(shows("b")))
	ticket := &protocol.Ticket{Node: protocol.KeyOf(key(2)), Addresses: b.Addresses()}
	if err := a.Connect(t.Context(), ticket.String()); err == nil {
		t.Fatal("a was admitted without a credential")
	}
	slow.Store(false)
	begin := time.Now()
	until(t, "a second try", func() bool { return a.Connect(t.Context(), ticket.String()) == nil })
	if d := time.Since(begin); d > shutOut/2 {
		t.Errorf("it was let in after %s only", d)
	}
}

// A peer that is connected and has not shown its credential is not one to ask.
func TestConnectedBeforeAdmitted(t *testing.T) {
	show := make(chan struct{})
	mesh := func(credential func() ([]byte, error)) func(*Options) {
		return func(o *Options) {
			o.Prefix, o.Credential, o.Admit = "/nuka-mesh", credential, func(protocol.Key, []byte) ([]byte, error) { return nil, nil }
		}
	}
	a := start(t, 1, mesh(shows("a")))
	b := start(t, 2, mesh(func() ([]byte, error) { <-show; return []byte("b"), nil }))
	if err := a.host.Connect(t.Context(), peer.AddrInfo{ID: b.host.ID(), Addrs: b.host.Addrs()}); err != nil {
		t.Fatal(err)
	}
	if p := a.Peer(b.key); a.IsConnected(p) || len(a.Connected(10)) > 0 || len(a.Peers()) > 0 {
		t.Error("a peer without a credential counts as connected")
	}
	close(show)
	until(t, "an admission", func() bool { return a.IsConnected(a.Peer(b.key)) && len(a.Connected(10)) == 1 })
}
