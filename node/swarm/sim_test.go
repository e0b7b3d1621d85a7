package swarm

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"

	"github.com/MordragT/nuka/node/swarm/peers"
	"github.com/MordragT/nuka/node/swarm/routing/routingtest"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	mbit = 1_000_000
	// roundTrip is the round-trip time between simulated peers.
	roundTrip = 50 * time.Millisecond
)

// A simulation is a network without sockets, on time that passes when all goroutines wait.
type simulation struct {
	t     *testing.T
	net   *simnet.Simnet
	nodes []*Swarm
	stops []func()
}

// simulate runs a test in a simulation.
func simulate(t *testing.T, test func(*testing.T, *simulation)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim := &simulation{t: t, net: &simnet.Simnet{LatencyFunc: simnet.StaticLatency(roundTrip / 2), Logger: slog.New(slog.DiscardHandler)}}
		sim.net.Start()
		defer sim.net.Close()
		defer sim.end()
		test(t, sim)
	})
}

func (sim *simulation) end() {
	for _, stop := range sim.stops {
		stop()
	}
	time.Sleep(10 * time.Second) // of synthetic time, for goroutines of libraries that nothing waits for
	sim.stops = nil
}

// node adds a node whose link carries so many bits a second each way.
func (sim *simulation) node(m System, bits int, change func(*Options)) (s *Swarm, stop func()) {
	sim.t.Helper()
	n := len(sim.nodes)
	addr := fmt.Sprintf("/ip4/%s/udp/8000/quic-v1", simnet.IntToPublicIPv4(n))
	link := simnet.LinkSettings{BitsPerSecond: bits}
	o := &Options{System: m, Options: peers.Options{Key: key(byte(50 + n)), Listen: []string{addr}, NoDHT: true, Network: []libp2p.Option{
		simlibp2p.QUICSimnet(sim.net, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link}),
		libp2p.DisableIdentifyAddressDiscovery(), libp2p.DisableRelay(),
	}}}
	if os.Getenv("SWARM_LOG") != "" {
		o.Log = slog.New(slog.NewTextHandler(sim.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", n)
	}
	if change != nil {
		change(o)
	}
	is, running := watched(o)
	s, err := New(o)
	if err != nil {
		sim.t.Fatal(err)
	}
	is(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-running
	synctest.Wait()
	stop = func() {
		if cancel != nil {
			cancel()
			cancel = nil
			if err := <-done; err != nil {
				sim.t.Errorf("run: %v", err)
			}
			insides.Delete(s)
		}
	}
	sim.nodes = append(sim.nodes, s)
	sim.stops = append(sim.stops, stop)
	return s, stop
}

// took returns how long something takes in simulated time.
func took(do func()) time.Duration {
	begin := time.Now()
	do()
	return time.Since(begin)
}

// A closure of 400 PIDs is decided in three round trips at most.
func TestRoundTrips(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		ids := routingtest.PIDs(400)
		signers := func(o *Options) {
			o.Signers = func() []protocol.Key { return []protocol.Key{protocol.KeyOf(key(7)), protocol.KeyOf(key(8))} }
		}
		a, _ := sim.node(newMemory(), 100*mbit, signers)
		for n := range 3 {
			m := newMemory()
			m.say(t, key(7), ids[n*100:n*100+200]...)
			m.say(t, key(8), ids...)
			b, _ := sim.node(m, 100*mbit, signers)
			connect(t, a, b)
		}
		synctest.Wait()
		var said []protocol.Attestation
		var err error
		d := took(func() { said, err = a.Statements(t.Context(), ids) })
		if err != nil || len(said) != 800 {
			t.Errorf("got %d statements, %v; want 800", len(said), err)
		}
		t.Logf("%.1f round trips, %v", float64(d)/float64(roundTrip), d)
		if d > 3*roundTrip {
			t.Errorf("it took %v, more than three round trips of %v", d, roundTrip)
		}
	})
}

// Three peers together send what their links carry.
func TestSumOfLinks(t *testing.T) {
	for name, links := range map[string][]int{"equal": {20, 20, 20}, "unequal": {40, 10, 5}} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, sim *simulation) {
				const size = 32 << 20
				here := newMemory()
				a, _ := sim.node(here, 200*mbit, nil)
				var root cid.CID
				sum := 0
				for _, link := range links {
					m := newMemory()
					root = m.tree(t, 4, size/4)
					b, _ := sim.node(m, link*mbit, nil)
					connect(t, a, b)
					sum += link * mbit / 8
				}
				d := took(func() {
					if err := a.Fetch(t.Context(), root, size, nil); err != nil {
						t.Fatal(err)
					}
				})
				rate := size / d.Seconds() / float64(sum)
				got := int64(0)
				for _, p := range a.Peers() {
					got += p.Received
				}
				t.Logf("%v: %.2f of the links, %d bytes beside the content", d, rate, got-size)
				if rate < 0.8 {
					t.Errorf("got %.2f of what the links carry, want 0.8", rate)
				}
				if got > size*115/100 {
					t.Errorf("%d bytes came for a tree of %d", got, size)
				}
			})
		})
	}
}

// Twenty nodes that fetch the same tree at once send it to each other: at most three copies leave the origin.
func TestManyAtOnce(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("half a gigabyte goes over a simulated net: NUKA_LONG=1 go test ./node/swarm -run TestManyAtOnce")
	}
	simulate(t, func(t *testing.T, sim *simulation) {
		const n, size = 20, 24 << 20
		first := newMemory()
		root := first.tree(t, 192, size/192)
		nodes := []*Swarm{}
		a, _ := sim.node(first, 100*mbit, nil)
		nodes = append(nodes, a)
		for range n - 1 {
			m := newMemory()
			m.swarming = true
			b, _ := sim.node(m, 100*mbit, nil)
			for _, other := range nodes {
				connect(t, b, other)
			}
			nodes = append(nodes, b)
		}
		var all sync.WaitGroup
		d := took(func() {
			for _, b := range nodes[1:] {
				all.Go(func() {
					if err := b.Fetch(t.Context(), root, size, nil); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		})
		copies := float64(a.host.Book().Sent.Load()) / size
		t.Logf("%v, %.1f copies from the origin", d, copies)
		if copies > 3 {
			t.Errorf("%.1f copies left the origin, want 3 at most", copies)
		}
	})
}
