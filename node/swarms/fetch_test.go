package swarms

import (
	"crypto/ed25519"
	"errors"
	"os"
	"testing"
	"testing/fstest"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/node/swarm"
	"github.com/MordragT/nuka/node/swarm/peers"
	"github.com/MordragT/nuka/protocol"
)

// A fetcher is a node with a store in a swarm.
type fetcher struct {
	store *cas.Store
	swarm *swarm.Swarm
	key   ed25519.PrivateKey
}

func newFetcher(t testing.TB, key ed25519.PrivateKey, listen string) *fetcher {
	t.Helper()
	s := newSet(t)
	s.share(t, `[{names: "*", with: lan}]`)
	f := &fetcher{store: s.store, key: key}
	var err error
	f.swarm, err = swarm.New(&swarm.Options{System: &system{s: s.Set}, Options: peers.Options{Key: key, Listen: []string{listen}}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f.swarm.Run(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { <-done })
	return f
}

// A node does not verify the blocks that it sends. If its disk has damaged one, the peer keeps the correct blocks and reports the wrong one.
// Then the node sets the damaged file aside and no longer sends its blocks.
func TestDamagedGiver(t *testing.T) {
	for _, listen := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"} {
		from, to := newFetcher(t, castest.Key(1), listen), newFetcher(t, castest.Key(2), listen)
		big := make([]byte, 5<<20)
		for i := range big {
			big[i] = byte(i >> 20)
		}
		root, err := from.store.Import(t.Context(), fstest.MapFS{"big": {Data: big}, "small": {Data: []byte("small")}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		e, err := from.store.Lookup(t.Context(), root, "big")
		if err != nil {
			t.Fatal(err)
		}
		path, err := from.store.BlobPath(e.CID)
		if err != nil {
			t.Fatal(err)
		}
		big[3<<20]++
		if err := errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, big, 0o644)); err != nil {
			t.Fatal(err)
		}
		ticket := protocol.Ticket{Node: protocol.KeyOf(from.key), Addresses: from.swarm.Addresses()}
		if err := to.swarm.Connect(t.Context(), ticket.String()); err != nil {
			t.Fatal(err)
		}
		if err := to.swarm.Fetch(t.Context(), root, 0, nil); err == nil {
			t.Fatal("a damaged tree was taken")
		}
		for range 100 {
			if _, err = os.Stat(path); err != nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v, want the damaged file set aside", listen, err)
		}
		if _, err := from.store.OpenFile(t.Context(), e.CID); !errors.Is(err, cas.ErrDamaged) {
			t.Errorf("%s: got %v, want %v", listen, err, cas.ErrDamaged)
		}
	}
}
