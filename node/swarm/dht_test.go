package swarm

import (
	"context"
	"testing"
	"time"

	"github.com/MordragT/nuka/node/swarm/peers"
	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/routing/routingtest"
	"github.com/MordragT/nuka/protocol"
)

// until waits for something that other goroutines do.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// several starts n nodes whose bootstrap peer is the first one.
func several(t testing.TB, n int, change func(i int, o *Options)) ([]*Swarm, []*memory) {
	t.Helper()
	var nodes []*Swarm
	var systems []*memory
	for i := range n {
		m := newMemory()
		systems = append(systems, m)
		nodes = append(nodes, start(t, byte(10+i), m, func(o *Options) {
			if i > 0 {
				o.Bootstrap = []string{nodes[0].Addresses()[0] + "/p2p/" + nodes[0].ID()}
			}
			if change != nil {
				change(i, o)
			}
		}))
	}
	return nodes, systems
}

func TestDHT(t *testing.T) {
	signer := key(7)
	nodes, systems := several(t, 6, func(i int, o *Options) {
		o.Signers = func() []protocol.Key { return []protocol.Key{protocol.KeyOf(signer)} }
		o.Dir = t.TempDir()
	})
	a, b := nodes[4], nodes[5]
	root := systems[4].tree(t, 10, 1000)
	secret := systems[4].tree(t, 11, 1000)
	ids := routingtest.PIDs(3)
	systems[4].say(t, signer, ids...)
	systems[4].mu.Lock()
	systems[4].shared = []routing.Announcement{{PID: ids[0], Root: root}}
	systems[4].mu.Unlock()
	until(t, "a routing table", func() bool { return a.Status().Table >= 3 && b.Status().Table >= 3 })
	begin := time.Now()
	a.Announce(ids...)
	key := dhtKey(protocol.StatementsKey(ids[0]))
	until(t, "an announcement", func() bool {
		found, err := dhtOf(nodes[0]).ProviderStore().GetProviders(t.Context(), key)
		return err == nil && len(found) > 0
	})
	t.Logf("announced within %v", time.Since(begin))
	for _, conn := range hostOf(b).Network().ConnsToPeer(hostOf(a).ID()) {
		conn.Close()
	}
	hostOf(b).Peerstore().ClearAddrs(hostOf(a).ID())
	begin = time.Now()
	said, err := b.Statements(t.Context(), ids)
	if err != nil || len(said) != 3 {
		t.Errorf("got %d statements, %v", len(said), err)
	}
	t.Logf("told within %v", time.Since(begin))
	begin = time.Now()
	if err := b.Fetch(t.Context(), root, 0, nil); err != nil {
		t.Error(err)
	}
	t.Logf("fetched within %v", time.Since(begin))
	// Nothing that is not shared is announced anywhere.
	for i, n := range nodes {
		for _, key := range [][32]byte{protocol.ContentKey(secret), protocol.StatementsKey(ids[1])} {
			found, err := dhtOf(n).ProviderStore().GetProviders(t.Context(), dhtKey(key))
			if err != nil || len(found) > 0 {
				t.Errorf("node %d: %v is a provider of what is not public, %v", i, found, err)
			}
		}
	}
}

// A node that starts again connects to the peers that were useful before.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	there := newMemory()
	root := there.tree(t, 3, 3)
	b := start(t, 2, there, nil)
	here := newMemory()
	a, err := New(&Options{System: here, Options: peers.Options{Key: key(1), Dir: dir}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	connect(t, a, b)
	if err := a.Fetch(t.Context(), root, 0, nil); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	again := start(t, 1, here, func(o *Options) { o.Dir = dir })
	until(t, "a connection to a saved peer", func() bool { return len(again.Peers()) == 1 })
}
