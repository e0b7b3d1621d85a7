package swarm

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	dhtpb "github.com/libp2p/go-libp2p-kad-dht/pb"
	kbucket "github.com/libp2p/go-libp2p-kbucket"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	p2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	p2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-msgio"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/routing/routingtest"
	"github.com/MordragT/nuka/protocol"
)

// sybils are many identities of one adversary. Each is a libp2p host of its own that listens on loopback and answers what it is
// asked in the DHT's protocol: nearer to the key are only sybils, and all of them are providers. Of twenty one is silent when it is
// asked for blocks or statements, nine have nothing, and ten speak none of our protocols. They share a process and a machine,
// which is less than a real adversary has, and they know every address of each other, which is more.
type sybils struct {
	hosts []host.Host
	infos []peer.AddrInfo
	calls sync.WaitGroup
}

func newSybils(t *testing.T, n int) *sybils {
	t.Helper()
	y := &sybils{}
	for range n {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.NoTransports, libp2p.Transport(tcp.NewTCPTransport),
			libp2p.Security(p2ptls.ID, p2ptls.New), libp2p.ResourceManager(&network.NullResourceManager{}), libp2p.DisableMetrics(),
			libp2p.DisableRelay(), libp2p.DisableIdentifyAddressDiscovery())
		if err != nil {
			t.Fatal(err)
		}
		y.hosts = append(y.hosts, h)
		y.infos = append(y.infos, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
	}
	for i, h := range y.hosts {
		h.SetStreamHandler(protocol.Prefix+"/kad/1.0.0", func(st network.Stream) { y.answerDHT(h, st) })
		for _, name := range []string{protocol.WantProtocol, protocol.AttProtocol} {
			switch {
			case i%20 == 0:
				h.SetStreamHandler(p2pprotocol.ID(protocol.Prefix+name), func(st network.Stream) { _, _ = io.Copy(io.Discard, st) })
			case i%10 < 5:
				h.SetStreamHandler(p2pprotocol.ID(protocol.Prefix+name), hasNothing)
			}
		}
	}
	t.Cleanup(func() {
		var all sync.WaitGroup
		for _, h := range y.hosts {
			all.Go(func() { h.Close() })
		}
		all.Wait()
		y.calls.Wait()
	})
	return y
}

// answerDHT answers whatever is asked with other sybils.
func (y *sybils) answerDHT(h host.Host, st network.Stream) {
	defer st.Close()
	r, w := msgio.NewVarintReaderSize(st, network.MessageSizeMax), msgio.NewVarintWriter(st)
	for {
		b, err := r.ReadMsg()
		if err != nil {
			return
		}
		ask := &dhtpb.Message{}
		if err := proto.Unmarshal(b, ask); err != nil {
			return
		}
		answer := dhtpb.NewMessage(ask.GetType(), ask.GetKey(), 0)
		answer.CloserPeers = dhtpb.PeerInfosToPBPeers(h.Network(), y.nearest(ask.GetKey()))
		if ask.GetType() == dhtpb.Message_GET_PROVIDERS {
			answer.ProviderPeers = dhtpb.PeerInfosToPBPeers(h.Network(), y.infos)
		}
		out, err := proto.Marshal(answer)
		if err != nil || w.WriteMsg(out) != nil {
			return
		}
	}
}

// nearest returns the 20 sybils that are nearest to a key.
func (y *sybils) nearest(key []byte) []peer.AddrInfo {
	target := kbucket.ConvertKey(string(key))
	list := slices.Clone(y.infos)
	distance := func(p peer.AddrInfo) []byte {
		d := slices.Clone([]byte(kbucket.ConvertPeerID(p.ID)))
		for i := range d {
			d[i] ^= target[i]
		}
		return d
	}
	slices.SortFunc(list, func(a, b peer.AddrInfo) int { return bytes.Compare(distance(a), distance(b)) })
	return list[:min(20, len(list))]
}

// crowd makes n of them connect to a node, again when it hangs up.
func (y *sybils) crowd(t *testing.T, s *Swarm, n int) {
	to := peer.AddrInfo{ID: hostOf(s).ID(), Addrs: hostOf(s).Addrs()}
	slots := make(chan struct{}, 32)
	var calls sync.WaitGroup
	for _, h := range y.hosts[:n] {
		calls.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_ = h.Connect(ctx, to) // not all of them are let in
		})
	}
	calls.Wait()
	until(t, "a crowd", func() bool { return len(hostOf(s).Network().Peers()) > min(n, 60) })
}

// announce makes honest nodes of the DHT hold records that all sybils are providers, as they do after each has announced itself.
func (y *sybils) announce(t *testing.T, key [32]byte, nodes ...*Swarm) {
	t.Helper()
	for _, s := range nodes {
		for _, info := range y.infos {
			if err := dhtOf(s).ProviderStore().AddProvider(t.Context(), dhtKey(key), info); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// hasNothing answers that it has neither the blocks nor the statements that it is asked for.
func hasNothing(st network.Stream) {
	defer st.Close()
	r, w := bufio.NewReader(st), bufio.NewWriter(st)
	for {
		ask, items, err := protocol.ReadAsk(r)
		if err != nil {
			return
		}
		var answers []protocol.Encoding
		switch ask {
		case protocol.AskStatements, protocol.AskHeads:
			answers = []protocol.Encoding{protocol.End}
		case protocol.AskNodes:
			answers = []protocol.Encoding{protocol.Missing, protocol.End}
		default:
			answers = slices.Repeat([]protocol.Encoding{protocol.Missing}, len(items))
		}
		for _, e := range answers {
			if protocol.WriteAnswer(w, e, nil) != nil {
				return
			}
		}
		if w.Flush() != nil {
			return
		}
	}
}

// figure reads a counter or gauge; of several with one name the sum of those with the label's values.
func figure(t *testing.T, from prometheus.Gatherer, name string, values ...string) (sum float64) {
	t.Helper()
	all, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if len(values) == 0 || slices.Contains(values, m.GetLabel()[0].GetValue()) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// Case 6: three hundred sybils, with NUKA_LONG a thousand, surround a key and hold most of a node's connections. A tree on a saved peer, a
// bootstrap peer or a signer arrives all the same, at once, and the figures count the false providers.
func TestSybils(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes minutes with the race detector")
	}
	const size = 3 << 20
	n := 300
	if os.Getenv("NUKA_LONG") != "" {
		n = 1000
	}
	sy := newSybils(t, n)
	signer := key(7)
	ids := routingtest.PIDs(30)
	there := newMemory()
	root, lost := there.tree(t, 3, size/3), newMemory().tree(t, 4, size/4)
	there.say(t, signer, ids...)
	honest, _ := several(t, 5, nil)
	first := honest[0].Addresses()[0] + "/p2p/" + honest[0].ID()
	holder := start(t, 7, there, nil) // the DHT does not lead to it
	address := holder.Addresses()[0] + "/p2p/" + holder.ID()
	for _, k := range [][32]byte{protocol.ContentKey(root), protocol.ContentKey(lost), protocol.StatementsKey(ids[0])} {
		sy.announce(t, k, honest...)
	}
	for n, way := range []string{"known", "configured", "signer"} {
		t.Run(way, func(t *testing.T) {
			here, figures := newMemory(), prometheus.NewRegistry()
			dir := t.TempDir()
			if way == "known" {
				if err := os.WriteFile(filepath.Join(dir, "peers"), []byte(address+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			trusted := key(7)
			if way != "signer" {
				trusted = key(8)
			}
			a := start(t, byte(100+n), here, func(o *Options) {
				o.Dir, o.Metrics, o.Bootstrap, o.Connections = dir, figures, []string{first}, 100
				o.Signers = func() []protocol.Key { return []protocol.Key{protocol.KeyOf(trusted)} }
				if way == "configured" {
					o.Bootstrap = append(o.Bootstrap, address)
				}
			})
			sy.crowd(t, a, 120)
			for _, id := range hostOf(a).Network().Peers() { // they answer sooner than the honest peer
				if id != hostOf(holder).ID() {
					a.host.Peer(keyOf(t, id)).Answered(time.Microsecond)
				}
			}
			switch way {
			case "signer":
				hostOf(a).Peerstore().AddAddrs(hostOf(holder).ID(), hostOf(holder).Addrs(), peerstore.PermanentAddrTTL)
				begin := time.Now()
				said, err := a.Statements(t.Context(), ids)
				if err != nil || len(said) != len(ids) {
					t.Errorf("got %d statements, %v; want %d", len(said), err, len(ids))
				}
				t.Logf("told within %v", time.Since(begin))
			}
			begin := time.Now()
			if err := a.Fetch(t.Context(), root, size, nil); err != nil || !here.has(root) {
				t.Errorf("with a holder: %v", err)
			}
			if d := time.Since(begin); d > 30*time.Second {
				t.Errorf("it took %v", d)
			} else {
				t.Logf("fetched within %v", d)
			}
			if way != "known" {
				return
			}
			// A tree that no node has is given up within bounded time.
			begin = time.Now()
			err := a.Fetch(t.Context(), lost, size, nil)
			if protocol.CodeOf(err) != protocol.Unavailable || !strings.Contains(err.Error(), lost.String()) || here.has(lost) {
				t.Errorf("with no holder: got %v, want an error that names the root", err)
			}
			wrong := figure(t, figures, "nuka_swarm_providers_total", "without", "unreachable")
			t.Logf("given up after %v; %v false providers", time.Since(begin), wrong)
			if d := time.Since(begin); d > 2*wantLookup+wantProbe*4 {
				t.Errorf("it took %v", d)
			}
			if wrong < wantProviders/2 || wrong > 3*wantProviders {
				t.Errorf("the figures tell of %v false providers, want between %d and %d", wrong, wantProviders/2, 3*wantProviders)
			}
		})
	}
}

// One provider among a hundred false ones that the DHT names is found.
func TestFalseProviders(t *testing.T) {
	there, here, figures := newMemory(), newMemory(), prometheus.NewRegistry()
	root := there.tree(t, 3, 1000)
	honest, _ := several(t, 3, nil)
	first := honest[0].Addresses()[0] + "/p2p/" + honest[0].ID()
	holder := start(t, 7, there, nil) // nobody is connected to it
	named := []peer.AddrInfo{{ID: hostOf(holder).ID(), Addrs: hostOf(holder).Addrs()}}
	for n := range 100 {
		named = append(named, peer.AddrInfo{ID: idOf(t, protocol.KeyOf(key(byte(100+n)))), Addrs: []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/1")}}) // nobody is there
	}
	(&sybils{infos: named}).announce(t, protocol.ContentKey(root), honest...)
	a := start(t, 8, here, func(o *Options) { o.Bootstrap, o.Metrics = []string{first}, figures })
	until(t, "a routing table", func() bool { return a.Status().Table > 0 })
	if err := a.Fetch(t.Context(), root, 3000, nil); err != nil || !here.has(root) {
		t.Error(err)
	}
	if good := figure(t, figures, "nuka_swarm_providers_total", "holder"); good != 1 {
		t.Errorf("the figures tell of %v holders", good)
	}
	t.Logf("%v false ones were tried", figure(t, figures, "nuka_swarm_providers_total", "unreachable"))
}

// Case 6, on a local network: a near peer is asked before strangers that answer sooner.
func TestNearFirst(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		there, here := newMemory(), newMemory()
		root := there.tree(t, 2, 1000)
		a, _ := sim.node(here, 100*mbit, nil)
		for range wantProbes + 2 {
			b, _ := sim.node(newMemory(), 100*mbit, nil)
			connect(t, b, a)
			peerOf(a, b).Answered(time.Microsecond)
		}
		b, _ := sim.node(there, 100*mbit, func(o *Options) { o.Listen = []string{"/ip4/10.0.0.1/udp/8000/quic-v1"} })
		if err := a.host.Dial(t.Context(), routing.Provider{Key: b.host.Key(), Addresses: b.Addresses()}); err != nil { // as for a node of the local network
			t.Fatal(err)
		}
		if err := a.Fetch(t.Context(), root, 2000, nil); err != nil {
			t.Error(err)
		}
	})
}
