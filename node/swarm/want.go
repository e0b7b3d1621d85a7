package swarm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// readAhead is how many blocks are read from the store while earlier ones are on their way to a peer.
	readAhead = 4
	// maxQueue bounds the nodes that are still to be sent of one request.
	maxQueue = 1 << 20
	// maxDoubt is how many bytes of blocks a peer may have been given before it says that one was wrong.
	maxDoubt = 2 * maxAhead
)

// serveBlocks gives nodes and blocks.
func (s *Swarm) serveBlocks(ctx context.Context, st network.Stream, m *member) error {
	to, err := asker(st)
	if err != nil {
		return err
	}
	g := &giver{s: s, st: st, m: m, to: to, w: bufio.NewWriterSize(st, 64<<10)}
	err = g.serve(ctx)
	var reset *network.StreamError
	if errors.As(err, &reset) && reset.Remote && reset.ErrorCode == protocol.WrongBytes {
		g.doubt(ctx)
	}
	return err
}

func (g *giver) serve(ctx context.Context) error {
	r := bufio.NewReaderSize(g.st, 4<<10)
	for {
		kind, items, err := nextAsk(ctx, g.st, r, g.m.wants)
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
			err = g.giveParts(ctx, list)
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

// A giver answers on one stream.
type giver struct {
	s  *Swarm
	st network.Stream
	m  *member
	to Asker
	w  *bufio.Writer
	// small is room for compressed blocks.
	small []byte
	// given are the last blocks, of maxDoubt bytes and one.
	given []cid.Leaf
	bytes int64
	// told is what the peer was told of the leaves of toldOf.
	told   []protocol.Part
	toldOf *fetch
}

// doubt has the system look at what was given: the peer says that something of it was wrong.
func (g *giver) doubt(ctx context.Context) {
	for _, b := range g.given {
		if _, err := block(ctx, g.s.o.System, b.CID, g.to); err != nil && ctx.Err() == nil {
			g.s.log.Warn("a peer was given wrong bytes", "peer", g.m.id, "block", b.CID, "error", err)
		}
	}
}

// gave notes a block that was given.
func (g *giver) gave(c cid.CID, size int) {
	g.given = append(g.given, cid.Leaf{CID: c, Size: int64(size)})
	g.bytes += int64(size)
	for g.bytes-g.given[0].Size > maxDoubt || len(g.given) > maxOwed {
		g.bytes -= g.given[0].Size
		g.given = g.given[1:]
	}
}

// nodes gives the nodes below each root, breadth first, each once in an answer.
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
			b, err := block(ctx, g.s.o.System, c, g.to)
			if err != nil {
				if err := g.answer(ctx, protocol.Missing, nil); err != nil {
					return err
				}
				continue
			}
			if c.Codec() != cid.DagPB {
				continue // a root that is a leaf: its End without Missing says that it is here
			}
			if err := g.answer(ctx, protocol.Plain, b); err != nil {
				return err
			}
			left -= len(b)
			n, err := cid.Decode(b)
			if err != nil {
				continue // the peer finds out as well
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

// A blockRead is a block that was read for a peer. It belongs to who reads, then to who writes, and is used again.
type blockRead struct {
	cid     cid.CID
	buf     []byte
	missing bool
}

var blockReads = sync.Pool{New: func() any { return new(blockRead) }}

// blocks gives blocks in the order in which they were asked for.
func (g *giver) blocks(ctx context.Context, list []cid.CID, small bool) error {
	ctx, cancel := context.WithCancel(ctx)
	ahead := make(chan *blockRead, readAhead)
	go func() {
		defer close(ahead)
		for _, c := range list {
			r := blockReads.Get().(*blockRead)
			r.cid = c
			b, err := appendBlock(ctx, g.s.o.System, c, g.to, r.buf[:0])
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
			g.gave(r.cid, len(b))
			if small {
				e, b, g.small = g.s.codec.compress(b, g.small)
			}
		}
		if err := g.answer(ctx, e, b); err != nil {
			return err
		}
		blockReads.Put(r)
	}
	return ctx.Err()
}

// answer writes one answer, at the rate that is allowed, and not for longer than the peer may take.
func (g *giver) answer(ctx context.Context, e protocol.Encoding, b []byte) error {
	if g.s.up != nil {
		if err := g.s.up.WaitN(ctx, len(b)+1); err != nil {
			return err
		}
	}
	if err := g.deadline(len(b)); err != nil {
		return err
	}
	g.m.gives(len(b))
	if len(b) > pieceSize {
		return g.pieces(e, b)
	}
	return protocol.WriteAnswer(g.w, e, b)
}

// pieceSize is how much of an answer has a time of its own: a slow peer has slowStream for each piece, not for a whole block.
const pieceSize = messageSize

// pieces writes an answer in pieces.
func (g *giver) pieces(e protocol.Encoding, b []byte) error {
	if err := protocol.BeginAnswer(g.w, e, len(b)); err != nil {
		return err
	}
	for len(b) > 0 {
		n := min(len(b), pieceSize)
		if err := g.st.SetWriteDeadline(time.Now().Add(slowStream)); err != nil {
			return err
		}
		if _, err := g.w.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// deadline gives the peer time for what is written next. Setting one for each small block would cost more than the block.
func (g *giver) deadline(size int) error {
	if g.w.Available() > size+16 {
		return nil // it goes into the buffer
	}
	return g.st.SetWriteDeadline(time.Now().Add(slowStream))
}
