package swarm

import (
	"bufio"
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

const (
	// idleStream is how long a stream may rest between two requests.
	idleStream = 2 * time.Minute
	// slowStream is how long a peer may take to read an answer's next part.
	slowStream = 30 * time.Second
)

// nextAsk reads a request, within the time and the rate that a peer has.
func nextAsk(ctx context.Context, st network.Stream, r *bufio.Reader, m *member) (protocol.Ask, [][]byte, error) {
	if err := st.SetReadDeadline(time.Now().Add(idleStream)); err != nil {
		return 0, nil, err
	}
	kind, items, err := protocol.ReadAsk(r)
	if err != nil {
		return 0, nil, err
	}
	return kind, items, m.asks.WaitN(ctx, max(1, len(items)))
}

// serveStatements answers what is known about PIDs and signers.
func (s *Swarm) serveStatements(ctx context.Context, st network.Stream, m *member) error {
	to, err := asker(st)
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(st, 4<<10)
	w := bufio.NewWriterSize(st, 16<<10)
	for {
		kind, items, err := nextAsk(ctx, st, r, m)
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
			answers, err = s.o.System.Statements(ctx, ids, to)
		case protocol.AskHeads:
			keys := make([]protocol.Key, len(items))
			for i, item := range items {
				keys[i] = protocol.Key(item)
			}
			answers, err = s.o.System.Heads(ctx, keys)
		default:
			err = fmt.Errorf("ask %d is of another protocol", kind)
		}
		if err != nil {
			return err
		}
		if err := st.SetWriteDeadline(time.Now().Add(slowStream)); err != nil {
			return err
		}
		left := protocol.MaxAnswer(len(items))
		for i, answer := range answers {
			if left -= len(answer); left < 0 || i == len(items)*protocol.MaxStatements {
				break
			}
			if err := protocol.WriteAnswer(w, protocol.Plain, answer); err != nil {
				return err
			}
			m.sent.Add(int64(len(answer)))
		}
		if err := protocol.WriteAnswer(w, protocol.End, nil); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
}
