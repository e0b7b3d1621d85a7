// Package serve answers what peers ask: for statements and heads, for PIRs, and for nodes and blocks.
//
// A Source is what is served: it decides for each single thing whether the requester may have it.
// A Server answers streams, within the rates that the peer's record has and the node's bound on bytes.
//
// The package opens no sockets: its methods are routing.Handlers.
package serve

import (
	"bufio"
	"context"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"github.com/MordragT/nuka/node/swarm/fetch"
	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// idleStream is how long a stream may rest between two requests.
const idleStream = 2 * time.Minute

// Source is the set of operations a Server needs of its system daemon. Many goroutines call its methods.
type Source interface {
	// Block returns a block that the requester may have. An error says that it is not here, or not for the requester: peers do not learn
	// which. The bytes have been compared with c, and do not change.
	Block(ctx context.Context, c cid.CID, to routing.Requester) ([]byte, error)
	// Statements returns the encoded attestations about PIDs that the requester may see, in any order.
	Statements(ctx context.Context, ids []pir.PID, to routing.Requester) ([][]byte, error)
	// PIR returns the canonical bytes of the PIR of a package whose statements the requester may see. An error says that it is not here,
	// or not for the requester: peers do not learn which.
	PIR(ctx context.Context, id pir.PID, to routing.Requester) ([]byte, error)
	// Heads returns the newest known signed heads of signers, encoded. Unknown ones are left out.
	Heads(ctx context.Context, keys []protocol.Key) ([][]byte, error)
	// Published returns the newest known heads of the feeds and package sets of signers, encoded. Unknown ones are left out.
	Published(ctx context.Context, keys []protocol.Key) ([][]byte, error)
}

// Appender is a Source that can append a block to a buffer, which is then used again.
type Appender interface {
	// AppendBlock is Block behind buf: it returns buf with the block appended, in a new place if there was no room. It need not compare the
	// bytes with c: the peer does, and when the peer says that they were wrong, the Server asks for the block by Block.
	AppendBlock(ctx context.Context, c cid.CID, to routing.Requester, buf []byte) ([]byte, error)
}

// Options configure a Server. All fields but Up must be set.
type Options struct {
	Source Source
	Codec  *wire.Codec
	// Jobs returns the fetch of a root that is in progress, or nil: its leaves are given before the tree is whole.
	Jobs func(root cid.CID) *fetch.Job
	// Up bounds the bytes of blocks and PIRs to all peers; nil is no bound.
	Up  *rate.Limiter
	Log *slog.Logger
}

// A Server answers peers. Many goroutines may call its methods.
type Server struct{ o Options }

// New returns a Server.
func New(o *Options) *Server { return &Server{o: *o} }

// nextAsk reads a request, within the time and the rate that a peer has.
func nextAsk(ctx context.Context, st routing.Stream, r *bufio.Reader, l *rate.Limiter) (protocol.Ask, [][]byte, error) {
	if err := st.SetReadDeadline(time.Now().Add(idleStream)); err != nil {
		return 0, nil, err
	}
	kind, items, err := protocol.ReadAsk(r)
	if err != nil {
		return 0, nil, err
	}
	return kind, items, l.WaitN(ctx, max(1, len(items)))
}

// Block returns a block under c or under the other codec of the same hash: the bytes are the same, and the requester may not know which of
// the two a package has. The Source decides by the CID under which it has the bytes.
func (s *Server) Block(ctx context.Context, c cid.CID, to routing.Requester) ([]byte, error) {
	b, err := s.o.Source.Block(ctx, c, to)
	if err == nil {
		return b, nil
	}
	if b, e := s.o.Source.Block(ctx, otherCodec(c), to); e == nil {
		return b, nil
	}
	return nil, err
}

// appendBlock is Block behind buf, by AppendBlock if the Source has it.
func (s *Server) appendBlock(ctx context.Context, c cid.CID, to routing.Requester, buf []byte) ([]byte, error) {
	b, err := s.appendNamed(ctx, c, to, buf)
	if err == nil {
		return b, nil
	}
	if b, e := s.appendNamed(ctx, otherCodec(c), to, buf); e == nil {
		return b, nil
	}
	return nil, err
}

func (s *Server) appendNamed(ctx context.Context, c cid.CID, to routing.Requester, buf []byte) ([]byte, error) {
	if a, ok := s.o.Source.(Appender); ok {
		return a.AppendBlock(ctx, c, to, buf)
	}
	b, err := s.o.Source.Block(ctx, c, to)
	return append(buf, b...), err
}

// otherCodec returns the CID of the same bytes as a node if c is a leaf's, and as a leaf if it is a node's.
func otherCodec(c cid.CID) cid.CID {
	codec := cid.DagPB
	if c.Codec() == cid.DagPB {
		codec = cid.Raw
	}
	other, err := cid.New(codec, c.Digest())
	if err != nil {
		panic("serve: " + err.Error()) // the codec exists
	}
	return other
}
