package swarm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"

	"github.com/MordragT/nuka/internal/crclog"
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

// several starts n nodes that all know the first one.
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
	ids := pids(3)
	systems[4].say(t, signer, ids...)
	systems[4].mu.Lock()
	systems[4].shared = []Announcement{{PID: ids[0], Root: root}}
	systems[4].mu.Unlock()
	until(t, "a routing table", func() bool { return a.Status().Table >= 3 && b.Status().Table >= 3 })
	begin := time.Now()
	a.Announce(ids...)
	key := dhtKey(protocol.StatementsKey(ids[0]))
	until(t, "an announcement", func() bool {
		found, err := nodes[0].discovery.Load().dht.ProviderStore().GetProviders(t.Context(), key)
		return err == nil && len(found) > 0
	})
	t.Logf("announced within %v", time.Since(begin))
	for _, conn := range b.host.Network().ConnsToPeer(a.host.ID()) {
		conn.Close()
	}
	b.host.Peerstore().ClearAddrs(a.host.ID())
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
	// What is not shared is announced nowhere.
	for i, n := range nodes {
		for _, key := range [][32]byte{protocol.ContentKey(secret), protocol.StatementsKey(ids[1])} {
			found, err := n.discovery.Load().dht.ProviderStore().GetProviders(t.Context(), dhtKey(key))
			if err != nil || len(found) > 0 {
				t.Errorf("node %d: %v has what is not public, %v", i, found, err)
			}
		}
	}
	// What is not shared any more is announced no longer.
	systems[4].mu.Lock()
	systems[4].shared = []Announcement{{PID: ids[0]}}
	systems[4].mu.Unlock()
	a.Announce()
	until(t, "an end of the announcement", func() bool {
		kept, err := a.discovery.Load().keys.Size(t.Context())
		return err == nil && kept == 1
	})
}

// What is announced, and who was of use, is known after a restart.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	there := newMemory()
	root := there.tree(t, 3, 3)
	b := start(t, 2, there, nil)
	here := newMemory()
	a, err := New(&Options{Key: key(1), System: here, Dir: dir})
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
	until(t, "a connection to a peer of before", func() bool { return len(again.Peers()) == 1 })
}

func TestLogstore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	open := func() *logstore {
		l, err := openLogstore(path)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	ctx := t.Context()
	l := open()
	for i := range 100 {
		k := datastore.NewKey(fmt.Sprint("/a/", i%10))
		if err := l.Put(ctx, k, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
		if i%10 > 4 {
			if err := l.Delete(ctx, k); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l = open()
	results, err := l.Query(ctx, query.Query{Prefix: "/a"})
	if err != nil {
		t.Fatal(err)
	}
	all, err := results.Rest()
	if err != nil || len(all) != 5 {
		t.Errorf("got %v, %v; want 5 entries", all, err)
	}
	if v, err := l.Get(ctx, datastore.NewKey("/a/3")); string(v) != "93" {
		t.Errorf("got %q, %v; want 93", v, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// A record whose key the datastore would write in another way ends the log.
	odd := appendRecord(nil, datastore.NewKey("/a/1"), []byte("kept"), false)
	odd = crclog.Summed.Append(odd, crclog.Record{Key: []byte("a//2"), Value: []byte("odd")})
	odd = appendRecord(odd, datastore.NewKey("/a/3"), []byte("behind"), false)
	if err := os.WriteFile(path, odd, 0o600); err != nil {
		t.Fatal(err)
	}
	if l = open(); len(l.live) != 1 || !l.live[datastore.NewKey("/a/1")] {
		t.Errorf("got keys %v, want /a/1", l.live)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// Whatever is cut off or changed, it opens.
	for i := 0; i < len(whole); i += 17 {
		if err := os.WriteFile(path, whole[:i], 0o600); err != nil {
			t.Fatal(err)
		}
		open().Close()
		damaged := append([]byte{}, whole...)
		damaged[i] ^= 0x55
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		open().Close()
	}
}

func TestMDNSName(t *testing.T) {
	for prefix, want := range map[string]string{"/nuka": "_nuka._udp", "/nuka/mesh/ab12": "_nuka-mesh-ab12._udp"} {
		if got := mdnsName(prefix); got != want {
			t.Errorf("%s: got %s, want %s", prefix, got, want)
		}
	}
}
