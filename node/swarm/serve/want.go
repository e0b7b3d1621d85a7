package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/MordragT/nuka/node/swarm/fetch"
	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// readAhead is how many blocks are read from the store while earlier ones are on their way to a peer.
	readAhead = 4
	// maxQueue bounds the nodes of one request that are still to be sent.
	maxQueue = 1 << 20
	// maxDoubt bounds the bytes of blocks that are remembered as sent on a stream, for a peer that says that one was wrong, and
	// maxDoubted their number: twice what a requester has in flight, and as many leaves.
	maxDoubt, maxDoubted = 32 << 20, 4 * protocol.MaxAsked
	// pieceSize is how much of an answer has a time of its own: a slow peer has wire.Slow for each piece, not for a whole block. It is how
	// much the muxer sends at once.
	pieceSize = 256 << 10
)

// Blocks answers requests for nodes, blocks and parts.
func (s *Server) Blocks(ctx context.Context, st routing.Stream, p *routing.Peer, to routing.Requester) error {
	g := &giver{s: s, st: st, p: p, to: to, w: bufio.NewWriterSize(st, 64<<10)}
	err := g.serve(ctx)
	var reset *routing.ResetError
	if errors.As(err, &reset) && reset.Code == protocol.WrongBytes {
		g.doubt(ctx)
	}
	return err
}

// A giver answers on one stream.
type giver struct {
	s  *Server
	st routing.Stream
	p  *routing.Peer
	to routing.Requester
	w  *bufio.Writer
	// small is room for compressed blocks.
	small []byte
	// given are the last blocks that were sent, of at most maxDoubt bytes and one block.
	given []cid.Leaf
	bytes int64
	// told is what the peer was told about the leaves of a fetch in progress.
	told fetch.Told
}

func (g *giver) serve(ctx context.Context) error {
	r := bufio.NewReaderSize(g.st, 4<<10)
	for {
		kind, items, err := nextAsk(ctx, g.st, r, g.p.Wants)
		if err != nil {
			return err
		}
		list := make([]cid.CID, len(items))
		for i, item := range items {
			if list[i], err = cid.FromBytes(item); err != nil {
				return err
			}
		}
		switch kind {
		case protocol.AskNodes:
			err = g.nodes(ctx, list)
		case protocol.AskBlocks, protocol.AskSmall:
			err = g.blocks(ctx, list, kind == protocol.AskSmall)
		case protocol.AskParts:
			err = g.parts(ctx, list)
		default:
			err = fmt.Errorf("ask %d is of another protocol", kind)
		}
		if err == nil && r.Buffered() == 0 {
			err = g.w.Flush()
		}
		if err != nil {
			return err
		}
	}
}

// doubt has the Source compare the blocks that were sent: the peer says that one of them was wrong.
func (g *giver) doubt(ctx context.Context) {
	for _, b := range g.given {
		if _, err := g.s.Block(ctx, b.CID, g.to); err != nil && ctx.Err() == nil {
			g.s.o.Log.Warn("a peer was sent wrong bytes", "peer", g.p, "block", b.CID, "error", err)
		}
	}
}

// sent records a block that was sent.
func (g *giver) sent(c cid.CID, size int) {
	g.given = append(g.given, cid.Leaf{CID: c, Size: int64(size)})
	g.bytes += int64(size)
	for g.bytes-g.given[0].Size > maxDoubt || len(g.given) > maxDoubted {
		g.bytes -= g.given[0].Size
		g.given = g.given[1:]
	}
}

// parts tells what has changed about the leaves of a tree that this node fetches, since the last answer on this stream.
func (g *giver) parts(ctx context.Context, list []cid.CID) error {
	if len(list) == 1 {
		if job := g.s.o.Jobs(list[0]); job != nil {
			if _, err := g.s.o.Source.Block(ctx, list[0], g.to); err == nil {
				return g.answer(ctx, protocol.Plain, job.Parts(&g.told))
			}
		}
	}
	return g.answer(ctx, protocol.Missing, nil)
}

// nodes sends the nodes at and below each root, breadth first, each once in an answer.
func (g *giver) nodes(ctx context.Context, roots []cid.CID) error {
	sent := map[cid.CID]bool{}
	left := protocol.MaxNodes
	for _, root := range roots {
		for queue := []cid.CID{root}; len(queue) > 0 && left > 0; queue = queue[1:] {
			c := queue[0]
			if sent[c] {
				continue
			}
			sent[c] = true
			b, err := g.s.Block(ctx, c, g.to)
			if err != nil {
				if err := g.answer(ctx, protocol.Missing, nil); err != nil {
					return err
				}
				continue
			}
			if c.Codec() != cid.DagPB {
				continue // for a root that is a leaf, an End without Missing says that it is here
			}
			if err := g.answer(ctx, protocol.Plain, b); err != nil {
				return err
			}
			left -= len(b)
			n, err := cid.Decode(b)
			if err != nil {
				continue // the requester finds out as well
			}
			for _, l := range n.Links {
				if l.CID.Codec() == cid.DagPB && len(queue) < maxQueue {
					queue = append(queue, l.CID)
				}
			}
		}
		if err := g.answer(ctx, protocol.End, nil); err != nil {
			return err
		}
	}
	return nil
}

// A blockRead is a block that was read for a peer. The reader owns it, then the writer, and it is used again.
type blockRead struct {
	cid     cid.CID
	buf     []byte
	missing bool
}

var blockReads = sync.Pool{New: func() any { return new(blockRead) }}

// blocks sends blocks in the order of the request.
func (g *giver) blocks(ctx context.Context, list []cid.CID, small bool) error {
	ctx, cancel := context.WithCancel(ctx)
	ahead := make(chan *blockRead, readAhead)
	go func() {
		defer close(ahead)
		for _, c := range list {
			r := blockReads.Get().(*blockRead)
			r.cid = c
			b, err := g.s.appendBlock(ctx, c, g.to, r.buf[:0])
			if r.missing = err != nil; err == nil {
				r.buf = b
			}
			select {
			case ahead <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() {
		cancel()
		for range ahead { // until the reader has ended
		}
	}()
	for r := range ahead {
		e, b := protocol.Missing, []byte(nil)
		if !r.missing {
			e, b = protocol.Plain, r.buf
			g.sent(r.cid, len(b))
			if small {
				e, b, g.small = g.s.o.Codec.Compress(b, g.small)
			}
		}
		if err := g.answer(ctx, e, b); err != nil {
			return err
		}
		blockReads.Put(r)
	}
	return ctx.Err()
}

// answer writes one answer, at the allowed rate, and within the time that the peer has for it.
func (g *giver) answer(ctx context.Context, e protocol.Encoding, b []byte) error {
	if g.s.o.Up != nil {
		if err := g.s.o.Up.WaitN(ctx, len(b)+1); err != nil {
			return err
		}
	}
	if err := g.deadline(len(b)); err != nil {
		return err
	}
	g.p.AddSent(len(b))
	if len(b) > pieceSize {
		return g.pieces(e, b)
	}
	return protocol.WriteAnswer(g.w, e, b)
}

// pieces writes an answer in pieces.
func (g *giver) pieces(e protocol.Encoding, b []byte) error {
	if err := protocol.BeginAnswer(g.w, e, len(b)); err != nil {
		return err
	}
	for len(b) > 0 {
		n := min(len(b), pieceSize)
		if err := g.st.SetWriteDeadline(time.Now().Add(wire.Slow)); err != nil {
			return err
		}
		if _, err := g.w.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// deadline gives the peer time for what is written next. A deadline for each small block would cost more than the block.
func (g *giver) deadline(size int) error {
	if g.w.Available() > size+16 {
		return nil // it goes into the buffer
	}
	return g.st.SetWriteDeadline(time.Now().Add(wire.Slow))
}
