package swarm

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/MordragT/nuka/node/swarm/peers"
	"github.com/MordragT/nuka/node/swarm/routing/routingtest"
	"github.com/MordragT/nuka/protocol"
)

// start runs a swarm on loopback until the test ends.
func start(t testing.TB, n byte, m System, change func(*Options)) *Swarm {
	t.Helper()
	o := &Options{System: m, Options: peers.Options{Key: key(n), Listen: []string{"/ip4/127.0.0.1/tcp/0"}}}
	if testing.Verbose() {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", n)
	}
	if change != nil {
		change(o)
	}
	is, running := watched(o)
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	is(s)
	run(t, s)
	<-running
	return s
}

func run(t testing.TB, s *Swarm) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		insides.Delete(s)
	})
}

func connect(t testing.TB, from, to *Swarm) {
	t.Helper()
	ticket := &protocol.Ticket{Node: to.host.Key(), Addresses: to.Addresses()}
	if err := from.Connect(t.Context(), ticket.String()); err != nil {
		t.Fatal(err)
	}
}

func overQUIC(o *Options) { o.Listen = []string{"/ip4/127.0.0.1/udp/0/quic-v1"} }

func TestTwo(t *testing.T) {
	for name, change := range map[string]func(*Options){"tcp": nil, "quic": overQUIC, "tcp with relay": func(o *Options) { o.Relay = true }} {
		t.Run(name, func(t *testing.T) {
			here, there := newMemory(), newMemory()
			root := there.tree(t, 300, 3_000_000/300)
			big := there.tree(t, 2, 5<<20+3)
			leaf := there.file("x", []byte("a file of one leaf")).CID
			ids := routingtest.PIDs(400)
			there.say(t, key(7), ids...)
			there.say(t, key(8), ids...)
			b := start(t, 2, there, change)
			a := start(t, 1, here, func(o *Options) {
				if change != nil {
					change(o)
				}
				o.Signers = func() []protocol.Key { return []protocol.Key{protocol.KeyOf(key(7))} }
			})
			connect(t, a, b)

			said, err := a.Statements(t.Context(), ids)
			if err != nil {
				t.Fatal(err)
			}
			if len(said) != len(ids) {
				t.Errorf("got %d statements, want %d", len(said), len(ids))
			}
			var done, total int64
			begin := time.Now()
			if err := a.Fetch(t.Context(), root, 3_000_000, func(d, t int64) { done, total = d, t }); err != nil {
				t.Fatal(err)
			}
			t.Log(time.Since(begin))
			if !here.has(root) || done != 3_000_000 || total != done {
				t.Errorf("the tree is not here: %d of %d", done, total)
			}
			if err := a.Fetch(t.Context(), big, 0, nil); err != nil {
				t.Fatal(err)
			}
			if err := a.Fetch(t.Context(), leaf, 0, nil); err != nil {
				t.Fatal(err)
			}
			if !here.has(big) || !here.has(leaf) {
				t.Error("what was fetched is not here")
			}
			asked := there.asked.Load()
			if err := a.Fetch(t.Context(), big, 0, nil); err != nil || there.asked.Load() != asked {
				t.Errorf("again: %v, and %d blocks were asked for", err, there.asked.Load()-asked)
			}
			if p := a.Peers(); len(p) != 1 || !strings.HasPrefix(name, p[0].Transport) || p[0].Received < 13_000_000 || p[0].Inbound {
				t.Errorf("peers: %+v", p)
			}
			if err := a.Fetch(t.Context(), here.tree(t, 1, 1), 0, nil); err != nil {
				t.Errorf("what is here: %v", err)
			}
			nobody := newMemory().tree(t, 3, 3)
			if err := a.Fetch(t.Context(), nobody, 0, nil); protocol.CodeOf(err) != protocol.Unavailable {
				t.Errorf("what nobody has: %v", err)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	there := newMemory()
	root := there.tree(t, 2, 100_000)
	a := start(t, 1, newMemory(), func(o *Options) { o.Metrics = registry })
	connect(t, a, start(t, 2, there, nil))
	if err := a.Fetch(t.Context(), root, 0, nil); err != nil {
		t.Fatal(err)
	}
	figures, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range figures {
		got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
	}
	if got["nuka_swarm_peers"] != 1 || got["nuka_swarm_received_bytes_total"] < 200_000 || got["nuka_swarm_lies_total"] != 0 {
		t.Errorf("got %v", got)
	}
}
