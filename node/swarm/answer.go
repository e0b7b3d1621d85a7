package swarm

import (
	"bufio"
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"golang.org/x/time/rate"

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
func nextAsk(ctx context.Context, st network.Stream, r *bufio.Reader, l *rate.Limiter) (protocol.Ask, [][]byte, error) {
	if err := st.SetReadDeadline(time.Now().Add(idleStream)); err != nil {
		return 0, nil, err
	}
	kind, items, err := protocol.ReadAsk(r)
	if err != nil {
		return 0, nil, err
	}
	return kind, items, l.WaitN(ctx, max(1, len(items)))
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
		kind, items, err := nextAsk(ctx, st, r, m.asks)
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
		if err := s.writeLines(st, w, m, answers, len(items)); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
}

// linesAtOnce is how many bytes of lines are compressed as one.
const linesAtOnce = 64 << 10

// writeLines answers with lines for so many things that were asked about, as many as an answer may have.
// Compressed they are a third: a closure's statements fit into the first packets of a connection.
func (s *Swarm) writeLines(st network.Stream, w *bufio.Writer, m *member, lines [][]byte, asked int) error {
	var text, buf []byte
	left := protocol.MaxAnswer(asked)
	flush := func() error {
		if len(text) == 0 {
			return nil
		}
		var e protocol.Encoding
		var b []byte
		e, b, buf = s.codec.compress(text, buf)
		text = text[:0]
		m.gives(len(b))
		if err := st.SetWriteDeadline(time.Now().Add(slowStream)); err != nil { // a time for each frame: a slow peer may have many
			return err
		}
		return protocol.WriteAnswer(w, e, b)
	}
	for i, line := range lines {
		if left -= len(line) + 1; left < 0 || i == asked*protocol.MaxStatements {
			break
		}
		if len(text)+len(line) >= linesAtOnce {
			if err := flush(); err != nil {
				return err
			}
		}
		text = append(append(text, line...), '\n')
	}
	if err := flush(); err != nil {
		return err
	}
	if err := st.SetWriteDeadline(time.Now().Add(slowStream)); err != nil {
		return err
	}
	return protocol.WriteAnswer(w, protocol.End, nil)
}
