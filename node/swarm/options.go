package swarm

import (
	"context"
	"iter"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/MordragT/nuka/node/swarm/claims"
	"github.com/MordragT/nuka/node/swarm/fetch"
	"github.com/MordragT/nuka/node/swarm/peers"
	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/serve"
)

// System is the set of operations a Swarm needs of its system daemon. Many goroutines call its methods.
// A System that is a serve.Appender as well saves a copy of each block.
type System interface {
	serve.Source
	claims.Heads
	fetch.Store
	// Shared yields everything that is to be announced: what is shared with everybody, and nothing else.
	Shared(ctx context.Context) iter.Seq2[routing.Announcement, error]
}

// Options configure a Swarm. Key and System must be set. The Swarm sets the fields Shared, Block and Upload of peers.Options itself.
type Options struct {
	peers.Options
	System System
	// Up and Down bound the bytes of blocks in a second; 0 is no bound.
	Up, Down int64
	// Metrics takes the swarm's figures; nil has none.
	Metrics prometheus.Registerer
}
