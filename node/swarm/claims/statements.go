package claims

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

const (
	// askPeers is the largest number of peers that one inquiry asks, besides signers, and askAtOnce how many at a time.
	askPeers, askAtOnce = 48, 16
	// askTimeout is how long one connected peer may take to answer, beside the time that its bytes buy, at sayRate bytes a second, as long
	// as there are useful statements among them. askWhole is how long it may take in all.
	askTimeout, askWhole = 3 * time.Second, 15 * time.Second
	sayRate              = 8 << 10
	// findTimeout is how long an inquiry looks for further peers.
	findTimeout = 5 * time.Second
	// findPIDs is for how many PIDs an inquiry looks in the DHT, and findEach how many providers it takes for each.
	findPIDs, findEach = 4, 4
	// keepEach is how many statements of one signer about one PID are kept.
	keepEach = 4
)

// An inquiry is one call of Statements.
type inquiry struct {
	*Options
	ids     []pir.PID
	wanted  map[pir.PID]bool
	signers map[protocol.Key]bool
	// find ends when no answer can bring anything new, and with it the search for further peers.
	find   context.Context
	found  context.CancelFunc
	slots  chan struct{}
	asking sync.WaitGroup

	mu    sync.Mutex
	asked map[protocol.Key]bool
	said  map[said][]protocol.Attestation
}

// said identifies a signer's statements about a PID.
type said struct {
	pid    pir.PID
	signer protocol.Key
}

// Statements returns the statements of peers about PIDs: those of signers that count, with verified signatures, in any order. Peers that
// do not answer in time are left out. Every inquiry also asks for the heads of the signers; without PIDs it asks for nothing else.
// It fails only when ctx ends.
func (a *Asker) Statements(ctx context.Context, ids []pir.PID) ([]protocol.Attestation, error) {
	q := &inquiry{Options: &a.o, wanted: map[pir.PID]bool{}, signers: map[protocol.Key]bool{}, slots: make(chan struct{}, askAtOnce),
		asked: map[protocol.Key]bool{}, said: map[said][]protocol.Attestation{}}
	for _, id := range ids {
		if !q.wanted[id] {
			q.wanted[id] = true
			q.ids = append(q.ids, id)
		}
	}
	for _, key := range a.o.Signers() {
		if key != a.o.Self {
			q.signers[key] = true
		}
	}
	if len(q.signers) == 0 {
		return nil, ctx.Err()
	}
	q.find, q.found = context.WithTimeout(ctx, findTimeout)
	defer q.found()
	q.askSigners(ctx)
	for _, p := range a.o.Router.Connected(askPeers) {
		q.ask(ctx, p, false)
	}
	q.askProviders(ctx)
	q.asking.Wait()
	var all []protocol.Attestation
	for _, list := range q.said {
		all = append(all, list...)
	}
	return all, ctx.Err()
}

// ask asks a peer, once. A signer does not wait for other peers, however many there are.
func (q *inquiry) ask(ctx context.Context, p *routing.Peer, signer bool) {
	q.mu.Lock()
	known := q.asked[p.Key] || len(q.asked) >= askPeers && !signer
	q.asked[p.Key] = true
	q.mu.Unlock()
	if known {
		return
	}
	q.asking.Go(func() {
		if !signer {
			select {
			case q.slots <- struct{}{}:
				defer func() { <-q.slots }()
			case <-ctx.Done():
				return
			}
		}
		ctx, cancel := context.WithTimeout(ctx, askWhole)
		defer cancel()
		err := q.exchange(ctx, p)
		switch {
		case err == nil:
		case errors.Is(err, routing.ErrLied):
			p.Lied()
			q.Log.Warn("a peer that was asked for statements", "peer", p, "error", err)
		case ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded):
			p.Failed()
			q.Log.Debug("ask for statements", "peer", p, "error", err)
		}
	})
}

// askSigners asks the signers themselves, as far as their addresses are known or can be found.
func (q *inquiry) askSigners(ctx context.Context) {
	for key := range q.signers {
		p := q.Router.Peer(key)
		if !p.Ready() {
			continue
		}
		if q.Router.IsConnected(p) {
			q.ask(ctx, p, true)
			continue
		}
		q.asking.Go(func() { q.dialAndAsk(ctx, routing.Provider{Key: key}, true) })
	}
}

// askProviders asks the peers that announce statements about the first of the PIDs.
func (q *inquiry) askProviders(ctx context.Context) {
	for _, id := range q.ids[:min(len(q.ids), findPIDs)] {
		q.asking.Go(func() {
			for found := range q.Router.Lookup(q.find, protocol.StatementsKey(id), findEach) {
				q.asking.Go(func() { q.dialAndAsk(ctx, found, false) })
			}
		})
	}
}

func (q *inquiry) dialAndAsk(ctx context.Context, found routing.Provider, signer bool) {
	p := q.Router.Peer(found.Key)
	if !q.Router.IsConnected(p) {
		if !p.Ready() {
			return
		}
		// A peer that was found late is not to blame for that: it has its own time.
		short, cancel := context.WithTimeout(ctx, askTimeout)
		err := q.Router.Dial(short, found)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				p.Failed()
				q.Log.Debug("connect to ask", "peer", p, "error", err)
			}
			return
		}
	}
	q.ask(ctx, p, signer)
}

// exchange asks one peer about all PIDs, in as many requests as that takes, all of them in flight at once.
func (q *inquiry) exchange(ctx context.Context, p *routing.Peer) error {
	st, err := q.Router.Open(ctx, p, protocol.AttProtocol)
	if err != nil {
		return err
	}
	defer st.Reset(0)
	var keys, ids [][]byte
	for key := range q.signers {
		keys = append(keys, key[:])
	}
	keys = keys[:min(len(keys), protocol.MaxAsked)]
	for _, id := range q.ids {
		ids = append(ids, id[:])
	}
	wrote := make(chan error, 1)
	go func() { wrote <- writeAsks(st, ids, keys) }()
	begin := time.Now()
	paced := &wire.Paced{Stream: st, Peer: p, Until: begin.Add(askTimeout), Rate: sayRate, Credit: wire.LinesAtOnce / 2}
	r := bufio.NewReaderSize(paced, 32<<10)
	heard := func(b []byte) error {
		useful, err := q.heard(p, b)
		if useful {
			paced.Useful()
		}
		return err
	}
	var buf []byte
	for left := len(ids); left > 0 && err == nil; left -= protocol.MaxAsked {
		n := min(left, protocol.MaxAsked)
		buf, err = readLines(q.Codec, r, buf, n*protocol.MaxStatements, protocol.MaxAnswer(n), heard)
		if left == len(ids) && err == nil {
			p.Answered(time.Since(begin))
		}
	}
	if err == nil {
		_, err = readLines(q.Codec, r, buf, len(keys), protocol.MaxAnswer(len(keys)), func(b []byte) error { return q.learn(ctx, p, b) })
	}
	if err != nil {
		st.Reset(0)
		<-wrote
		return err
	}
	return <-wrote
}

// writeAsks asks for statements about ids and for the heads of keys.
func writeAsks(st routing.Stream, ids, keys [][]byte) error {
	w := bufio.NewWriterSize(st, 32<<10)
	for window := range slices.Chunk(ids, protocol.MaxAsked) {
		if err := protocol.WriteAsk(w, protocol.AskStatements, window); err != nil {
			return err
		}
	}
	if err := protocol.WriteAsk(w, protocol.AskHeads, keys); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return st.CloseWrite()
}

// readLines calls take for each line of the answer to one request, at most count lines of most bytes together.
// It returns buf, which may have grown.
func readLines(z *wire.Codec, r *bufio.Reader, buf []byte, count, most int, take func([]byte) error) ([]byte, error) {
	for {
		e, b, err := protocol.ReadAnswer(r, buf, protocol.MaxLines)
		if err != nil {
			return buf, err
		}
		switch e {
		case protocol.End:
			return buf, nil
		case protocol.Missing:
			return buf, fmt.Errorf("an answer without lines: %w", routing.ErrLied)
		case protocol.Plain:
			buf = b[:cap(b)]
		case protocol.Zstd:
			buf = b[:cap(b)]
			if b, err = z.Frame(b, protocol.MaxLines); err != nil {
				return buf, fmt.Errorf("%w: %w", err, routing.ErrLied)
			}
		}
		if most -= len(b); most < 0 {
			return buf, fmt.Errorf("an answer that is too long: %w", routing.ErrLied)
		}
		for len(b) > 0 {
			line, rest, ok := bytes.Cut(b, []byte("\n"))
			if count--; !ok || count < 0 {
				return buf, fmt.Errorf("a line without an end, or one too many: %w", routing.ErrLied)
			}
			b = rest
			if err := take(line); err != nil {
				return buf, err
			}
		}
	}
}

// heard keeps a statement of a signer that counts, and reports whether it is useful: as much time as that buys a peer, many may repeat it.
// Statements of other signers are dropped before they cost anything.
func (q *inquiry) heard(p *routing.Peer, b []byte) (useful bool, err error) {
	key, err := signedBy(b)
	if err != nil {
		return false, fmt.Errorf("%w: %w", err, routing.ErrLied)
	}
	if !q.signers[key] {
		return false, nil
	}
	a, err := protocol.DecodeAttestation(b)
	if err != nil {
		return false, fmt.Errorf("%w: %w", err, routing.ErrLied)
	}
	if !q.signers[a.Signer] || !q.wanted[a.PID] || !a.Via.IsZero() {
		return false, nil
	}
	p.WasUseful()
	q.mu.Lock()
	defer q.mu.Unlock()
	k := said{a.PID, a.Signer}
	list := q.said[k]
	if len(list) >= keepEach || slices.ContainsFunc(list, func(b protocol.Attestation) bool { return b.Signature == a.Signature }) {
		return false, nil
	}
	q.said[k] = append(list, *a)
	if len(q.said) == len(q.wanted)*len(q.signers) {
		q.found()
	}
	return true, nil
}

// learn gives a head of a signer that counts to the system.
func (q *inquiry) learn(ctx context.Context, p *routing.Peer, b []byte) error {
	key, err := signedBy(b)
	if err != nil || len(b) > protocol.MaxHead {
		return fmt.Errorf("an invalid head: %w", routing.ErrLied)
	}
	if !q.signers[key] {
		return nil
	}
	err = q.Heads.Learn(ctx, b)
	if errors.Is(err, protocol.ErrBackward) {
		q.Log.Warn("a head", "peer", p, "error", err)
		return nil
	}
	return err
}
