// Package fetch brings whole trees from peers.
//
// A Fetcher runs the fetches of one swarm, and a Job is one fetch: of the tree below one root.
// A provider is a peer that has the root of the tree. A leecher is a provider that fetches the same tree itself: a partial seeder, or one
// that has become a seeder since.
// A worker asks one provider for leaves, a window of them at a time. What it has asked for and not received is in flight.
// A Receiver takes in the tree, whose blocks arrive in any order from several peers.
//
// The package opens no sockets: it reaches peers by Network.
package fetch

import (
	"context"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir/cid"
)

// Network is the set of operations a Fetcher needs of the network: the Router, and Bitswap for peers that speak nothing else.
type Network interface {
	routing.Router
	// SpeaksBitswap reports whether a connected peer has said that it speaks Bitswap.
	SpeaksBitswap(p *routing.Peer) bool
	// Blocks asks a peer for at most protocol.MaxAsked blocks by Bitswap, the largest of which has size bytes, and calls take for each
	// answer. nil data says that the peer does not have the block. Other data has been compared with its CID.
	Blocks(ctx context.Context, p *routing.Peer, list []cid.CID, size int64, take func(cid.CID, []byte) error) error
}

// Store is the set of operations a Fetcher needs of the content store.
type Store interface {
	// Receive begins to take in the tree below root, or resumes it. Size is a bound of the bytes of its files; 0 is none.
	Receive(ctx context.Context, root cid.CID, size int64) (Receiver, error)
}

// A Receiver takes in one tree. Several goroutines call its methods.
type Receiver interface {
	// WantNodes returns the missing nodes whose parents are here; at first the root.
	WantNodes() []cid.CID
	// WantLeaves returns the missing leaves, each once, after all nodes were put. A root that is a leaf has Size 0 if its size is unknown.
	WantLeaves() []cid.Leaf
	// Put takes a wanted block whose bytes were compared with its CID. It does not keep the bytes.
	Put(b cid.Block) error
	// Progress returns how many bytes of leaves are here, and of how many; total is 0 while nodes are missing.
	Progress() (done, total int64)
	// Finish makes the tree part of the store. It is called when all blocks were put.
	Finish(ctx context.Context) error
	// Close ends the reception. Blocks received before stay, and the next Receive of the root finds them. It may follow Finish.
	Close() error
}

// A comparedReceiver is a Receiver in the same program, which can skip the comparison that the fetch has made.
type comparedReceiver interface {
	// PutCompared is Put without a comparison of the bytes with the CID.
	PutCompared(b cid.Block) error
}

// put gives r a wanted block whose bytes were compared with its CID.
func put(r Receiver, b cid.Block) error {
	if c, ok := r.(comparedReceiver); ok {
		return c.PutCompared(b)
	}
	return r.Put(b)
}
