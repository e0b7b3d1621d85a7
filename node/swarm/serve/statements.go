package serve

import (
	"bufio"
	"context"
	"fmt"
	"time"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// pirCost is how many bytes of PIRs count as much as one PID against what a peer may ask for.
const pirCost = 4 << 10

// Statements answers requests for statements about PIDs and for the heads of signers.
func (s *Server) Statements(ctx context.Context, st routing.Stream, p *routing.Peer, to routing.Requester) error {
	r := bufio.NewReaderSize(st, 4<<10)
	w := bufio.NewWriterSize(st, 16<<10)
	for {
		kind, items, err := nextAsk(ctx, st, r, p.Asks)
		if err != nil {
			return err
		}
		var answers [][]byte
		switch kind {
		case protocol.AskStatements:
			ids := make([]pir.PID, len(items))
			for i, item := range items {
				ids[i] = pir.PID(item)
			}
			answers, err = s.o.Source.Statements(ctx, ids, to)
		case protocol.AskHeads:
			keys := make([]protocol.Key, len(items))
			for i, item := range items {
				keys[i] = protocol.Key(item)
			}
			answers, err = s.o.Source.Heads(ctx, keys)
		default:
			err = fmt.Errorf("ask %d is of another protocol", kind)
		}
		if err != nil {
			return err
		}
		if err := s.writeLines(st, w, p, answers, len(items)); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
}

// writeLines writes the lines that answer a request for so many things, as many as an answer may have.
// Compressed they take a third: a closure's statements fit into the first packets of a connection.
func (s *Server) writeLines(st routing.Stream, w *bufio.Writer, p *routing.Peer, lines [][]byte, asked int) error {
	var text, buf []byte
	left := protocol.MaxAnswer(asked)
	flush := func() error {
		if len(text) == 0 {
			return nil
		}
		var e protocol.Encoding
		var b []byte
		e, b, buf = s.o.Codec.Compress(text, buf)
		text = text[:0]
		p.AddSent(len(b))
		if err := st.SetWriteDeadline(time.Now().Add(wire.Slow)); err != nil { // a time for each frame: a slow peer may have many
			return err
		}
		return protocol.WriteAnswer(w, e, b)
	}
	for i, line := range lines {
		if left -= len(line) + 1; left < 0 || i == asked*protocol.MaxStatements {
			break
		}
		if len(text)+len(line) >= wire.LinesAtOnce {
			if err := flush(); err != nil {
				return err
			}
		}
		text = append(append(text, line...), '\n')
	}
	if err := flush(); err != nil {
		return err
	}
	if err := st.SetWriteDeadline(time.Now().Add(wire.Slow)); err != nil {
		return err
	}
	return protocol.WriteAnswer(w, protocol.End, nil)
}

// PIRs answers requests for PIRs.
func (s *Server) PIRs(ctx context.Context, st routing.Stream, p *routing.Peer, to routing.Requester) error {
	r := bufio.NewReaderSize(st, 4<<10)
	w := bufio.NewWriterSize(st, 16<<10)
	var buf []byte
	for {
		kind, items, err := nextAsk(ctx, st, r, p.Asks)
		if err != nil {
			return err
		}
		if kind != protocol.AskPIRs || len(items) > protocol.MaxPIRAsked {
			return fmt.Errorf("ask %d for %d things is of another protocol", kind, len(items))
		}
		left := protocol.MaxPIRs
		for _, item := range items {
			var e protocol.Encoding
			b, err := s.o.Source.PIR(ctx, pir.PID(item), to)
			switch {
			case err != nil:
				e, b = protocol.Missing, nil
			case len(b) > left:
				e, b = protocol.End, nil
			default:
				left -= len(b)
				e, b, buf = s.o.Codec.Compress(b, buf)
			}
			if err := s.allow(ctx, p, len(b)); err != nil {
				return err
			}
			if err := st.SetWriteDeadline(time.Now().Add(wire.Slow)); err != nil {
				return err
			}
			if err := protocol.WriteAnswer(w, e, b); err != nil {
				return err
			}
			if e == protocol.End {
				break
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
}

// allow waits until a peer may have so many bytes of PIRs, within its own rate and the bound for all peers.
func (s *Server) allow(ctx context.Context, p *routing.Peer, n int) error {
	if err := p.Asks.WaitN(ctx, n/pirCost); err != nil {
		return err
	}
	p.AddSent(n)
	for s.o.Up != nil && n > 0 {
		part := min(n, s.o.Up.Burst())
		if err := s.o.Up.WaitN(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// Published answers requests for the heads of feeds and package sets.
func (s *Server) Published(ctx context.Context, st routing.Stream, p *routing.Peer, _ routing.Requester) error {
	r := bufio.NewReaderSize(st, 1<<10)
	w := bufio.NewWriterSize(st, 4<<10)
	for {
		kind, items, err := nextAsk(ctx, st, r, p.Asks)
		if err != nil {
			return err
		}
		if kind != protocol.AskPublished || len(items) > protocol.MaxPublishedKeys {
			return fmt.Errorf("ask %d for %d things is of another protocol, or for too much", kind, len(items))
		}
		keys := make([]protocol.Key, len(items))
		for i, item := range items {
			keys[i] = protocol.Key(item)
		}
		heads, err := s.o.Source.Published(ctx, keys)
		if err != nil {
			return err
		}
		if err := s.writeLines(st, w, p, heads, len(items)); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
}
