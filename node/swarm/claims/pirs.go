package claims

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

const (
	// pirTimeout is how long one call of PIRs may take.
	pirTimeout = 15 * time.Second
	// pirAtOnce is how many peers are asked for PIRs at a time, and pirNext after how long without an answer the next one is asked as well.
	pirAtOnce, pirNext = 4, 300 * time.Millisecond
	// pirRate is how many bytes a second a peer must send, beside the time of askTimeout that it has anyway.
	pirRate = 4 << 10
	// maxPIRBytes bounds the bytes of PIRs that one call of PIRs returns.
	maxPIRBytes = 16 << 20
)

// A pirInquiry is one call of PIRs.
type pirInquiry struct {
	*Options
	found context.CancelFunc // called when nothing is missing

	mu    sync.Mutex
	left  map[pir.PID]bool
	got   map[pir.PID][]byte
	bytes int
	asked map[protocol.Key]bool
}

// PIRs returns the canonical bytes of PIRs, as far as peers send them. Each was decoded, and its hash is its PID.
// Peers are asked one after the other, those with a reason to be asked first; a slow one does not delay the next.
// It returns at most 16 MiB and fails only when ctx ends.
func (a *Asker) PIRs(ctx context.Context, ids []pir.PID) (map[pir.PID][]byte, error) {
	q := &pirInquiry{Options: &a.o, left: map[pir.PID]bool{}, got: map[pir.PID][]byte{}, asked: map[protocol.Key]bool{}}
	for _, id := range ids {
		q.left[id] = true
	}
	if len(q.left) == 0 {
		return nil, ctx.Err()
	}
	find, cancel := context.WithTimeout(ctx, pirTimeout)
	defer cancel()
	q.found = cancel
	var asking sync.WaitGroup
	slots := make(chan struct{}, pirAtOnce)
	// ask asks a peer, and returns when it has answered or the next one may be asked beside it.
	ask := func(p *routing.Peer) {
		if !q.first(p.Key) {
			return
		}
		select {
		case slots <- struct{}{}:
		case <-find.Done():
			return
		}
		answered := make(chan struct{})
		asking.Go(func() {
			defer func() { <-slots; close(answered) }()
			q.ask(find, p)
		})
		select {
		case <-answered:
		case <-time.After(pirNext):
		case <-find.Done():
		}
	}
	for _, p := range a.o.Router.Connected(askPeers) {
		ask(p)
	}
	asking.Wait()
	for _, id := range q.missing(findPIDs, nil) {
		for found := range a.o.Router.Lookup(find, protocol.StatementsKey(id), findEach) {
			p := a.o.Router.Peer(found.Key)
			if !a.o.Router.IsConnected(p) {
				short, cancel := context.WithTimeout(find, askTimeout)
				err := a.o.Router.Dial(short, found)
				cancel()
				if err != nil {
					continue
				}
			}
			ask(p)
		}
	}
	asking.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.got, ctx.Err()
}

// first reports whether a peer is to be asked and was not asked before.
func (q *pirInquiry) first(key protocol.Key) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	known := q.asked[key]
	q.asked[key] = true
	return !known && len(q.asked) < askPeers && len(q.left) > 0
}

// missing returns at most n of the PIDs whose PIR no peer has sent, except some.
func (q *pirInquiry) missing(n int, except map[pir.PID]bool) []pir.PID {
	q.mu.Lock()
	defer q.mu.Unlock()
	var ids []pir.PID
	for id := range q.left {
		if len(ids) == n {
			break
		}
		if !except[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// ask asks one peer for the missing PIRs. A peer that does not speak the protocol, or has none of them, is not to blame.
func (q *pirInquiry) ask(ctx context.Context, p *routing.Peer) {
	if q.Router.Refuses(p, protocol.PIRProtocol) {
		return
	}
	switch err := q.exchange(ctx, p); {
	case errors.Is(err, routing.ErrLied):
		p.Lied()
		q.Log.Warn("a peer that was asked for PIRs", "peer", p, "error", err)
	case err != nil && ctx.Err() == nil:
		q.Log.Debug("ask for PIRs", "peer", p, "error", err)
	}
}

// exchange asks a peer for PIRs, request after request as long as it sends some.
func (q *pirInquiry) exchange(ctx context.Context, p *routing.Peer) error {
	st, err := q.Router.Open(ctx, p, protocol.PIRProtocol)
	if err != nil {
		return err
	}
	defer st.Reset(0)
	r := bufio.NewReaderSize(&wire.Paced{Stream: st, Peer: p, Until: time.Now().Add(askTimeout), Rate: pirRate}, 32<<10)
	answered := map[pir.PID]bool{}
	for {
		ids := q.missing(protocol.MaxPIRAsked, answered)
		if len(ids) == 0 {
			return nil
		}
		items := make([][]byte, len(ids))
		for i, id := range ids {
			items[i] = id[:]
		}
		if err := st.SetWriteDeadline(time.Now().Add(askTimeout)); err != nil {
			return err
		}
		if err := protocol.WriteAsk(st, protocol.AskPIRs, items); err != nil {
			return err
		}
		n, err := readPIRs(q.Codec, r, ids, func(id pir.PID, b []byte) {
			if q.take(id, b) {
				p.WasUseful()
			}
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("an answer to nothing: %w", routing.ErrLied)
		}
		for _, id := range ids[:n] {
			answered[id] = true
		}
	}
}

// take keeps a PIR unless another peer has sent it; it reports whether it was missing.
func (q *pirInquiry) take(id pir.PID, b []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.left[id] {
		return false
	}
	delete(q.left, id)
	if q.bytes += len(b); q.bytes > maxPIRBytes {
		clear(q.left) // that is enough for one call
	} else {
		q.got[id] = b
	}
	if len(q.left) == 0 {
		q.found()
	}
	return true
}

// readPIRs reads the answer to one request and calls take for each PIR, which keeps its bytes. It returns how many of the PIDs were
// answered: an end leaves out the rest. An answer of more than MaxPIRs bytes, or with other PIRs, is a lie.
func readPIRs(z *wire.Codec, r *bufio.Reader, ids []pir.PID, take func(pir.PID, []byte)) (n int, err error) {
	left := protocol.MaxPIRs
	for i, id := range ids {
		e, b, err := protocol.ReadAnswer(r, nil, min(left, pir.MaxSize))
		if err != nil {
			return i, err
		}
		switch e {
		case protocol.End:
			return i, nil
		case protocol.Missing:
			continue
		case protocol.Zstd:
			if b, err = z.Frame(b, min(left, pir.MaxSize)); err != nil {
				return i, fmt.Errorf("%w: %w", err, routing.ErrLied)
			}
		}
		left -= len(b)
		if pir.Sum(b) != id {
			return i, fmt.Errorf("another PIR than that of %s: %w", id.Short(), routing.ErrLied)
		}
		if _, err := pir.Decode(b); err != nil {
			return i, fmt.Errorf("the PIR of %s: %w: %w", id.Short(), err, routing.ErrLied)
		}
		take(id, b)
	}
	return len(ids), nil
}
