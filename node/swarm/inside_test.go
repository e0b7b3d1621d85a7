package swarm

import (
	"crypto/ed25519"
	"sync"
	"testing"
	"time"

	gocid "github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	p2pcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	p2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multihash"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// The bounds that the tests hold the packages below to, as the README's tables have them.
const (
	wantAskTimeout  = 3 * time.Second  // of a peer that is asked for statements, beside what its bytes buy
	wantSayRate     = 8 << 10          // bytes of statements that buy a second
	wantCredit      = 32 << 10         // bytes of useless statements that buy time
	wantPIRTimeout  = 15 * time.Second // of one search for PIRs
	wantPIRRate     = 4 << 10          // bytes of PIRs that buy a second
	wantAskRate     = 4096             // things that a peer may ask about in a second
	wantAskBurst    = 16 * protocol.MaxAsked
	wantPaceEvery   = 2 * time.Minute // in which a fetch must receive wantPaceBytes
	wantPaceBytes   = 128 << 10
	wantSharedTime  = time.Second // for which leechers are believed
	wantNews        = 16          // changes of one leaf that a leecher may tell
	wantProbes      = 48          // connected peers that are asked for a root
	wantProbe       = 5 * time.Second
	wantLookup      = 20 * time.Second // of one search for providers
	wantProviders   = 128              // unknown providers that are tried
	wantDepth       = 2048             // nodes on a path
	wantPeerStreams = 16               // streams of one protocol that a peer may have open
	wantTick        = 50 * time.Millisecond
)

// An inside is what a swarm has of libp2p, for tests that play hostile peers.
type inside struct {
	host host.Host
	dht  *dht.IpfsDHT
}

var insides sync.Map // *Swarm → inside

// watched makes the swarm of these options known to hostOf and dhtOf once it runs; s must be called with it.
// The channel is closed then.
func watched(o *Options) (is func(*Swarm), running <-chan struct{}) {
	made, done := make(chan *Swarm, 1), make(chan struct{})
	o.Running = func(h host.Host, d *dht.IpfsDHT) {
		insides.Store(<-made, inside{h, d})
		close(done)
	}
	return func(s *Swarm) { made <- s }, done
}

func hostOf(s *Swarm) host.Host {
	i, _ := insides.Load(s)
	return i.(inside).host
}

func dhtOf(s *Swarm) *dht.IpfsDHT {
	i, _ := insides.Load(s)
	return i.(inside).dht
}

// peerOf is what s remembers about another.
func peerOf(s, other *Swarm) *routing.Peer { return s.host.Peer(other.host.Key()) }

// wireID is the id of a protocol in the public swarm.
func wireID(name string) p2pprotocol.ID { return protocol.Prefix + p2pprotocol.ID(name) }

func idOf(t testing.TB, key protocol.Key) peer.ID {
	t.Helper()
	public, err := p2pcrypto.UnmarshalEd25519PublicKey(key[:])
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func keyOf(t testing.TB, id peer.ID) protocol.Key {
	t.Helper()
	public, err := id.ExtractPublicKey()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := public.Raw()
	if err != nil || len(raw) != ed25519.PublicKeySize {
		t.Fatalf("peer %s: %v", id, err)
	}
	return protocol.Key(raw)
}

func idText(t testing.TB, k ed25519.PrivateKey) string { return idOf(t, protocol.KeyOf(k)).String() }

// toIPFS is the CID in the library of IPFS.
func toIPFS(c cid.CID) gocid.Cid { return gocid.NewCidV1(c.Codec(), blake3(c.Digest())) }

// dhtKey is the form that a key has in the DHT.
func dhtKey(key [32]byte) multihash.Multihash { return blake3(key) }

func blake3(digest [32]byte) multihash.Multihash {
	h, err := multihash.Encode(digest[:], multihash.BLAKE3)
	if err != nil {
		panic(err) // its length is right
	}
	return h
}
