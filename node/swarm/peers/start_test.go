package peers

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"testing"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

func key(n byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}

func pids(n int) []pir.PID {
	ids := make([]pir.PID, n)
	for i := range ids {
		ids[i] = pir.Sum(fmt.Append(nil, "package ", i))
	}
	return ids
}

// start runs a host on loopback until the test ends.
func start(t testing.TB, n byte, change func(*Options)) *Host {
	t.Helper()
	running := make(chan struct{})
	o := &Options{Key: key(n), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Running: func(host.Host, *dht.IpfsDHT) { close(running) }}
	if testing.Verbose() {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", n)
	}
	if change != nil {
		change(o)
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	<-running
	return h
}

// address is a multiaddr of a host that ends in its peer id.
func address(h *Host) string { return h.Addresses()[0] + "/p2p/" + h.ID() }

func connect(t testing.TB, from, to *Host) {
	t.Helper()
	if err := from.Connect(t.Context(), address(to)); err != nil {
		t.Fatal(err)
	}
}

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

// A shared is what one host announces; a test changes it.
type shared struct {
	mu   sync.Mutex
	list []routing.Announcement
}

func (s *shared) set(list ...routing.Announcement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = list
}

func (s *shared) all(context.Context) iter.Seq2[routing.Announcement, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.list
	return func(yield func(routing.Announcement, error) bool) {
		for _, a := range list {
			if !yield(a, nil) {
				return
			}
		}
	}
}

// several starts n hosts whose bootstrap peer is the first one.
func several(t testing.TB, n int) ([]*Host, []*shared) {
	t.Helper()
	var hosts []*Host
	var lists []*shared
	for i := range n {
		list := &shared{}
		lists = append(lists, list)
		hosts = append(hosts, start(t, byte(10+i), func(o *Options) {
			o.Shared = list.all
			if i > 0 {
				o.Bootstrap = []string{address(hosts[0])}
			}
		}))
	}
	return hosts, lists
}

func idText(t testing.TB, k ed25519.PrivateKey) string {
	id, err := idOf(protocol.KeyOf(k))
	if err != nil {
		t.Fatal(err)
	}
	return id.String()
}
