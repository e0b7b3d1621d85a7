package netd

import (
	"context"

	"github.com/MordragT/nuka/node/swarm"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A Network is a membership in one swarm, in this process (swarm.Swarm) or in one of its own (Daemon). Run returns when ctx ends and everything
// that it started has ended; swarm.Swarm says what the other methods promise.
type Network interface {
	Run(ctx context.Context) error
	Statements(ctx context.Context, ids []pir.PID) ([]protocol.Attestation, error)
	PIRs(ctx context.Context, ids []pir.PID) (map[pir.PID][]byte, error)
	Published(ctx context.Context, keys []protocol.Key) ([][]byte, error)
	Fetch(ctx context.Context, root cid.CID, size int64, progress func(done, total int64)) error
	Announce(ids ...pir.PID)
	Connect(ctx context.Context, address string) error
	Join(ctx context.Context, ticket string, request []byte) ([]byte, error)
	Renew()
	Tell(ctx context.Context, head []byte)
	Peers() []protocol.Peer
	Addresses() []string
	Status() protocol.SwarmStatus
}

var (
	_ Network = (*swarm.Swarm)(nil)
	_ Network = (*Daemon)(nil)
)
