package swarm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

const (
	// describeTimeout is how long PIRs may be looked for in all.
	describeTimeout = 15 * time.Second
	// describeAtOnce is how many peers are asked for PIRs at a time, and describeNext how long one may take before the next is asked too.
	describeAtOnce, describeNext = 4, 300 * time.Millisecond
	// describeRate is how many bytes a second a peer must give, beside the time of askTimeout that it has anyway.
	describeRate = 4 << 10
	// maxDescribed bounds the bytes of PIRs that one call of PIRs returns.
	maxDescribed = 16 << 20
	// pirCost is how many bytes of PIRs cost a peer as much of its share as one PID.
	pirCost = 4 << 10
)

// A describing is one call of PIRs.
type describing struct {
	s     *Swarm
	found context.CancelFunc // called when nothing is missing

	mu    sync.Mutex
	left  map[pir.PID]bool
	got   map[pir.PID][]byte
	bytes int
	asked map[peer.ID]bool
}

// PIRs returns the canonical bytes of PIRs, as far as peers give them. Each was decoded, and its hash is its PID.
// Peers are asked one after the other, those with a reason to be asked first; a slow one does not hold up the next.
// It returns at most maxDescribed bytes and fails only when ctx ends.
func (s *Swarm) PIRs(ctx context.Context, ids []pir.PID) (map[pir.PID][]byte, error) {
	q := &describing{s: s, left: map[pir.PID]bool{}, got: map[pir.PID][]byte{}, asked: map[peer.ID]bool{s.host.ID(): true}}
	for _, id := range ids {
		q.left[id] = true
	}
	if len(q.left) == 0 {
		return nil, ctx.Err()
	}
	find, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	q.found = cancel
	var asking sync.WaitGroup
	slots := make(chan struct{}, describeAtOnce)
	// ask asks a peer, and returns when it has answered or the next may be asked beside it.
	ask := func(m *member) {
		if !q.first(m.id) {
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
			q.ask(find, m)
		})
		select {
		case <-answered:
		case <-time.After(describeNext):
		case <-find.Done():
		}
	}
	for _, m := range s.connected(askPeers) {
		ask(m)
	}
	asking.Wait()
	for _, id := range q.missing(4, nil) {
		for info := range s.findProviders(find, protocol.StatementsKey(id), 4) {
			m := s.peers.get(info.ID)
			if !s.isConnected(info.ID) {
				each, cancel := context.WithTimeout(find, askTimeout)
				err := s.connect(each, info)
				cancel()
				if err != nil {
					continue
				}
			}
			ask(m)
		}
	}
	asking.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.got, ctx.Err()
}

// first reports whether a peer is to be asked and was not asked before.
func (q *describing) first(id peer.ID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	known := q.asked[id]
	q.asked[id] = true
	return !known && len(q.asked) <= askPeers && len(q.left) > 0
}

// missing returns at most n of the PIDs whose PIR nobody has given, without some.
func (q *describing) missing(n int, without map[pir.PID]bool) []pir.PID {
	q.mu.Lock()
	defer q.mu.Unlock()
	var ids []pir.PID
	for id := range q.left {
		if len(ids) == n {
			break
		}
		if !without[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// ask asks one peer for what is missing. One that does not speak the protocol, or has none of them, is not to blame.
func (q *describing) ask(ctx context.Context, m *member) {
	spoken, err := q.s.host.Peerstore().GetProtocols(m.id)
	if err == nil && len(spoken) > 0 && !slices.Contains(spoken, q.s.protocol(protocol.PIRProtocol)) {
		return
	}
	switch err := q.exchange(ctx, m); {
	case errors.Is(err, errLied):
		m.lied()
		q.s.log.Warn("a peer that was asked for PIRs", "peer", m.id, "error", err)
	case err != nil && ctx.Err() == nil:
		q.s.log.Debug("ask for PIRs", "peer", m.id, "error", err)
	}
}

// exchange asks a peer for PIRs, request after request as long as it gives some.
func (q *describing) exchange(ctx context.Context, m *member) error {
	st, done, err := q.s.open(ctx, m.id, protocol.PIRProtocol)
	if err != nil {
		return err
	}
	defer done()
	r := bufio.NewReaderSize(&paced{Stream: st, m: m, until: time.Now().Add(askTimeout), rate: describeRate}, 32<<10)
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
		n, err := readPIRs(q.s.codec, r, ids, func(id pir.PID, b []byte) {
			if q.take(id, b) {
				m.gave()
			}
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("an answer to nothing: %w", errLied)
		}
		for _, id := range ids[:n] {
			answered[id] = true
		}
	}
}

// take keeps a PIR unless somebody else has given it; it reports whether it was missing.
func (q *describing) take(id pir.PID, b []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.left[id] {
		return false
	}
	delete(q.left, id)
	if q.bytes += len(b); q.bytes > maxDescribed {
		clear(q.left) // that is enough for one call
	} else {
		q.got[id] = b
	}
	if len(q.left) == 0 {
		q.found()
	}
	return true
}

// readPIRs reads the answer to one request and gives each PIR to take, which keeps its bytes. It returns how many of the PIDs were
// answered: an end leaves out the rest. An answer of more than MaxPIRs bytes, or with other PIRs, is a lie.
func readPIRs(z *codec, r *bufio.Reader, ids []pir.PID, take func(pir.PID, []byte)) (n int, err error) {
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
			if b, err = z.frame(b, min(left, pir.MaxSize)); err != nil {
				return i, fmt.Errorf("%w: %w", err, errLied)
			}
		}
		left -= len(b)
		if pir.Sum(b) != id {
			return i, fmt.Errorf("another PIR than that of %s: %w", id.Short(), errLied)
		}
		if _, err := pir.Decode(b); err != nil {
			return i, fmt.Errorf("the PIR of %s: %w: %w", id.Short(), err, errLied)
		}
		take(id, b)
	}
	return len(ids), nil
}

// servePIRs gives PIRs.
func (s *Swarm) servePIRs(ctx context.Context, st network.Stream, m *member) error {
	to, err := asker(st)
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(st, 4<<10)
	w := bufio.NewWriterSize(st, 16<<10)
	var buf []byte
	for {
		kind, items, err := nextAsk(ctx, st, r, m.asks)
		if err != nil {
			return err
		}
		if kind != protocol.AskPIRs || len(items) > protocol.MaxPIRAsked {
			return fmt.Errorf("ask %d for %d things is of another protocol", kind, len(items))
		}
		left := protocol.MaxPIRs
		for _, item := range items {
			var e protocol.Encoding
			b, err := s.o.System.PIR(ctx, pir.PID(item), to)
			switch {
			case err != nil:
				e, b = protocol.Missing, nil
			case len(b) > left:
				e, b = protocol.End, nil
			default:
				left -= len(b)
				e, b, buf = s.codec.compress(b, buf)
			}
			if err := s.allow(ctx, m, len(b)); err != nil {
				return err
			}
			if err := st.SetWriteDeadline(time.Now().Add(slowStream)); err != nil {
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

// allow waits until a peer may have so many bytes of PIRs: within its own share, and within that of all.
func (s *Swarm) allow(ctx context.Context, m *member, n int) error {
	if err := m.asks.WaitN(ctx, n/pirCost); err != nil {
		return err
	}
	m.gives(n)
	for s.up != nil && n > 0 {
		part := min(n, s.up.Burst())
		if err := s.up.WaitN(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}
