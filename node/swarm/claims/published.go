package claims

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/protocol"
)

// keepHeads is how many heads of one name of a signer an inquiry returns: those with the largest numbers. Peers that repeat old heads cannot crowd out the newest.
const keepHeads = 4

// publishedInquiry is one call of Published.
type publishedInquiry struct {
	*Options
	keys []protocol.Key

	mu    sync.Mutex
	asked map[protocol.Key]bool
	heads map[published][]*protocol.Published
}

// published identifies what a signer publishes.
type published struct {
	signer protocol.Key
	kind   protocol.PublishedKind
	name   string
}

// Published returns heads of the feeds and package sets of signers, as connected peers and the peers that announce the signers in the DHT tell them: with
// verified signatures, and in any order. Whether a head counts is not looked at. Peers that do not answer in time are left out. It fails only when ctx ends.
func (a *Asker) Published(ctx context.Context, keys []protocol.Key) ([][]byte, error) {
	q := &publishedInquiry{Options: &a.o, keys: keys, asked: map[protocol.Key]bool{}, heads: map[published][]*protocol.Published{}}
	if len(keys) == 0 || len(keys) > protocol.MaxPublishedKeys {
		return nil, ctx.Err()
	}
	slots := make(chan struct{}, askAtOnce)
	var asking sync.WaitGroup
	ask := func(p *routing.Peer) {
		if q.first(p.Key) {
			asking.Go(func() {
				select {
				case slots <- struct{}{}:
					defer func() { <-slots }()
					q.ask(ctx, p)
				case <-ctx.Done():
				}
			})
		}
	}
	for _, p := range a.o.Router.Connected(askPeers) {
		ask(p)
	}
	find, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	var finding sync.WaitGroup
	for _, key := range keys {
		finding.Go(func() {
			for found := range a.o.Router.Lookup(find, protocol.PublishedKey(key), findEach) {
				p := a.o.Router.Peer(found.Key)
				if !a.o.Router.IsConnected(p) {
					short, cancel := context.WithTimeout(ctx, askTimeout)
					err := a.o.Router.Dial(short, found)
					cancel()
					if err != nil {
						continue
					}
				}
				ask(p)
			}
		})
	}
	finding.Wait()
	asking.Wait()
	var all [][]byte
	for _, list := range q.heads {
		for _, h := range list {
			all = append(all, h.Text)
		}
	}
	return all, ctx.Err()
}

func (q *publishedInquiry) first(key protocol.Key) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	known := q.asked[key]
	q.asked[key] = true
	return !known && len(q.asked) <= askPeers+len(q.keys)*findEach
}

func (q *publishedInquiry) ask(ctx context.Context, p *routing.Peer) {
	if q.Router.Refuses(p, protocol.PublishedProtocol) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	err := q.exchange(ctx, p)
	switch {
	case errors.Is(err, routing.ErrLied):
		p.Lied()
		q.Log.Warn("a peer that was asked for heads", "peer", p, "error", err)
	case err != nil:
		q.Log.Debug("ask for heads", "peer", p, "error", err)
	}
}

func (q *publishedInquiry) exchange(ctx context.Context, p *routing.Peer) error {
	st, err := q.Router.Open(ctx, p, protocol.PublishedProtocol)
	if err != nil {
		return err
	}
	defer st.Reset(0)
	items := make([][]byte, len(q.keys))
	for i := range q.keys {
		items[i] = q.keys[i][:]
	}
	if err := st.SetDeadline(time.Now().Add(askTimeout)); err != nil {
		return err
	}
	if err := protocol.WriteAsk(st, protocol.AskPublished, items); err != nil {
		return err
	}
	if err := st.CloseWrite(); err != nil {
		return err
	}
	most := len(q.keys) * protocol.MaxNames * 2
	_, err = readLines(q.Codec, bufio.NewReaderSize(st, 8<<10), nil, most, most*(protocol.MaxPublished+1), func(line []byte) error { return q.take(ctx, p, line) })
	return err
}

// take keeps a head of a signer that was asked for.
func (q *publishedInquiry) take(ctx context.Context, p *routing.Peer, line []byte) error {
	key, err := signedBy(line)
	if err != nil {
		return fmt.Errorf("%w: %w", err, routing.ErrLied)
	}
	if !slices.Contains(q.keys, key) {
		return fmt.Errorf("a head of a signer that was not asked for: %w", routing.ErrLied)
	}
	h, err := protocol.DecodePublished(line)
	if err != nil {
		return fmt.Errorf("%w: %w", err, routing.ErrLied)
	}
	if !q.keep(h) {
		return nil
	}
	p.WasUseful()
	if err := q.Heads.LearnPublished(ctx, h.Text); err != nil {
		q.Log.Debug("a head", "peer", p, "signer", key, "error", err)
	}
	return nil
}

func (q *publishedInquiry) keep(h *protocol.Published) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	what := published{h.Signer, h.Kind, h.Name}
	list := q.heads[what]
	if slices.ContainsFunc(list, func(o *protocol.Published) bool { return string(o.Text) == string(h.Text) }) {
		return false
	}
	list = append(list, h)
	slices.SortStableFunc(list, func(a, b *protocol.Published) int {
		if a.Revoked != b.Revoked { // a revocation counts whatever its number is
			if a.Revoked {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Number, a.Number)
	})
	if len(list) > keepHeads {
		list = list[:keepHeads]
	}
	q.heads[what] = list
	return true
}
