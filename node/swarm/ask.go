package swarm

import (
	"bufio"
	"bytes"
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
	// askPeers is how many peers are asked about PIDs at most, and askAtOnce how many at a time.
	askPeers, askAtOnce = 48, 16
	// askTimeout is how long one peer may take to answer, once it is connected, beside the time that its bytes buy, at sayRate bytes a
	// second and as long as there are statements of use among them, and askWhole how long it may take in all.
	askTimeout, askWhole = 3 * time.Second, 15 * time.Second
	sayRate              = 8 << 10
	// findTimeout is how long peers may be looked for whom to ask.
	findTimeout = 5 * time.Second
	// keepEach is how many statements of one signer about one PID are kept.
	keepEach = 4
)

// An inquiry is one call of Statements.
type inquiry struct {
	s       *Swarm
	ids     []pir.PID
	wanted  map[pir.PID]bool
	signers map[protocol.Key]bool
	// find ends when nothing more can be said that is not known, and looking for further peers with it.
	find   context.Context
	found  context.CancelFunc
	slots  chan struct{}
	asking sync.WaitGroup

	mu    sync.Mutex
	asked map[peer.ID]bool
	said  map[said][]protocol.Attestation
}

// said identifies who says something about what.
type said struct {
	pid    pir.PID
	signer protocol.Key
}

// Statements returns what others have said about PIDs: statements of signers that count, with verified signatures, in any
// order. Who does not answer in time is left out. Without PIDs only the heads of signers are asked for, as they always are.
// It fails only when ctx ends.
func (s *Swarm) Statements(ctx context.Context, ids []pir.PID) ([]protocol.Attestation, error) {
	q := &inquiry{s: s, wanted: map[pir.PID]bool{}, signers: map[protocol.Key]bool{}, slots: make(chan struct{}, askAtOnce),
		asked: map[peer.ID]bool{s.host.ID(): true}, said: map[said][]protocol.Attestation{}}
	for _, id := range ids {
		if !q.wanted[id] {
			q.wanted[id] = true
			q.ids = append(q.ids, id)
		}
	}
	for _, key := range s.o.Signers() {
		if key != s.key {
			q.signers[key] = true
		}
	}
	if len(q.signers) == 0 {
		return nil, ctx.Err()
	}
	q.find, q.found = context.WithTimeout(ctx, findTimeout)
	defer q.found()
	q.askSigners(ctx)
	for _, m := range s.connected(askPeers) {
		q.ask(ctx, m, false)
	}
	q.askProviders(ctx)
	q.asking.Wait()
	var all []protocol.Attestation
	for _, list := range q.said {
		all = append(all, list...)
	}
	return all, ctx.Err()
}

// ask asks a peer, once. A signer does not wait for others, however many there are.
func (q *inquiry) ask(ctx context.Context, m *member, signer bool) {
	q.mu.Lock()
	known := q.asked[m.id] || len(q.asked) > askPeers && !signer
	q.asked[m.id] = true
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
		err := q.exchange(ctx, m)
		switch {
		case err == nil:
		case errors.Is(err, errLied):
			m.lied()
			q.s.log.Warn("a peer that was asked for statements", "peer", m.id, "error", err)
		case ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded):
			m.failed()
			q.s.log.Debug("ask for statements", "peer", m.id, "error", err)
		}
	})
}

// askSigners asks signers themselves, as far as it is known, or can be found out, where they are.
func (q *inquiry) askSigners(ctx context.Context) {
	for key := range q.signers {
		id, err := idOf(key)
		if err != nil {
			continue
		}
		m := q.s.peers.get(id)
		if !m.ready() || q.s.isConnected(id) && !q.s.admitted(id) {
			continue
		}
		if q.s.isConnected(id) {
			q.ask(ctx, m, true)
			continue
		}
		q.asking.Go(func() {
			q.connectAndAsk(ctx, peer.AddrInfo{ID: id}, true)
		})
	}
}

// askProviders asks those who announce that they have something to say about the first of the PIDs.
func (q *inquiry) askProviders(ctx context.Context) {
	for _, id := range q.ids[:min(len(q.ids), 4)] {
		q.asking.Go(func() {
			for info := range q.s.findProviders(q.find, protocol.StatementsKey(id), 4) {
				q.asking.Go(func() { q.connectAndAsk(ctx, info, false) })
			}
		})
	}
}

func (q *inquiry) connectAndAsk(ctx context.Context, info peer.AddrInfo, signer bool) {
	m := q.s.peers.get(info.ID)
	if !q.s.isConnected(info.ID) {
		if !m.ready() {
			return
		}
		// A peer that was found late is not to blame for that: it has its own time.
		each, cancel := context.WithTimeout(ctx, askTimeout)
		err := q.s.connect(each, info)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				m.failed()
				q.s.log.Debug("connect to ask", "peer", info.ID, "error", shortDial(err))
			}
			return
		}
	}
	q.ask(ctx, m, signer)
}

// errLied says that a peer gave what an honest one cannot give.
var errLied = errors.New("an honest peer does not say that")

// exchange asks one peer about all, in as many requests as it takes, all on their way at once.
func (q *inquiry) exchange(ctx context.Context, m *member) error {
	st, done, err := q.s.open(ctx, m.id, protocol.AttProtocol)
	if err != nil {
		return err
	}
	defer done()
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
	p := &paced{Stream: st, m: m, until: begin.Add(askTimeout), rate: sayRate, credit: linesAtOnce / 2}
	r := bufio.NewReaderSize(p, 32<<10)
	heard := func(b []byte) error {
		useful, err := q.heard(m, b)
		if useful {
			p.useful()
		}
		return err
	}
	var buf []byte
	for left := len(ids); left > 0 && err == nil; left -= protocol.MaxAsked {
		n := min(left, protocol.MaxAsked)
		buf, err = readLines(q.s.codec, r, buf, n*protocol.MaxStatements, protocol.MaxAnswer(n), heard)
		if left == len(ids) && err == nil {
			m.answered(time.Since(begin))
		}
	}
	if err == nil {
		_, err = readLines(q.s.codec, r, buf, len(keys), protocol.MaxAnswer(len(keys)), func(b []byte) error { return q.learn(ctx, m, b) })
	}
	if err != nil {
		abort(st)
		<-wrote
		return err
	}
	return <-wrote
}

// writeAsks asks for statements about ids and for the heads of keys.
func writeAsks(st network.Stream, ids, keys [][]byte) error {
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

// readLines gives the lines that answer one request to take, at most count of most bytes together.
// It returns buf, which may have grown.
func readLines(z *codec, r *bufio.Reader, buf []byte, count, most int, take func([]byte) error) ([]byte, error) {
	for {
		e, b, err := protocol.ReadAnswer(r, buf, protocol.MaxLines)
		if err != nil {
			return buf, err
		}
		switch e {
		case protocol.End:
			return buf, nil
		case protocol.Missing:
			return buf, fmt.Errorf("an answer without lines: %w", errLied)
		case protocol.Plain:
			buf = b[:cap(b)]
		case protocol.Zstd:
			buf = b[:cap(b)]
			if b, err = z.lines(b); err != nil {
				return buf, fmt.Errorf("%w: %w", err, errLied)
			}
		}
		if most -= len(b); most < 0 {
			return buf, fmt.Errorf("an answer that is too long: %w", errLied)
		}
		for len(b) > 0 {
			line, rest, ok := bytes.Cut(b, []byte("\n"))
			if count--; !ok || count < 0 {
				return buf, fmt.Errorf("a line without an end, or one too many: %w", errLied)
			}
			b = rest
			if err := take(line); err != nil {
				return buf, err
			}
		}
	}
}

var signerField = []byte(`"signer":"`)

// signedBy reads the signer out of the canonical bytes of a statement or head, without looking at the rest.
func signedBy(canonical []byte) (protocol.Key, error) {
	_, rest, ok := bytes.Cut(canonical, signerField)
	text, _, ok2 := bytes.Cut(rest[:min(len(rest), 64)], []byte(`"`))
	if !ok || !ok2 {
		return protocol.Key{}, errors.New("it names no signer")
	}
	return protocol.ParseKey(string(text))
}

// heard keeps a statement of a signer that counts, and reports whether it is of use: as much time as that buys, many may say it. What
// others say is dropped before it costs anything.
func (q *inquiry) heard(m *member, b []byte) (useful bool, err error) {
	key, err := signedBy(b)
	if err != nil {
		return false, fmt.Errorf("%w: %w", err, errLied)
	}
	if !q.signers[key] {
		return false, nil
	}
	a, err := protocol.DecodeAttestation(b)
	if err != nil {
		return false, fmt.Errorf("%w: %w", err, errLied)
	}
	if !q.signers[a.Signer] || !q.wanted[a.PID] || !a.Via.IsZero() {
		return false, nil
	}
	m.gave()
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

// learn gives a head to the system.
func (q *inquiry) learn(ctx context.Context, m *member, b []byte) error {
	key, err := signedBy(b)
	if err != nil || len(b) > protocol.MaxHead {
		return fmt.Errorf("a head that is none: %w", errLied)
	}
	if !q.signers[key] {
		return nil
	}
	err = q.s.o.System.Learn(ctx, b)
	if errors.Is(err, protocol.ErrBackward) {
		q.s.log.Warn("a head", "peer", m.id, "error", err)
		return nil
	}
	return err
}
