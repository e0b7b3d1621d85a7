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
	"github.com/MordragT/nuka/protocol"
)

const (
	// hintPeers is the largest number of peers that a head is sent to, and hintTimeout how long one may take to accept it.
	hintPeers, hintTimeout = 32, 2 * time.Second
	// hintCost is how many PIDs a hint costs its sender: a head that counts is written to disk and passed on.
	hintCost = 256
)

// headField is in the canonical bytes of a head of statements, and in no head of a feed or a package set.
var headField = []byte(`"head":1`)

// Tell sends a signed head to connected peers, to hintPeers of them if there are more, and returns when they have accepted it or are late.
// It is a hint: a peer that trusts the signer and has an older head learns of the new one before it would have asked.
// A system that learns of a head from a hint tells it on, so only heads that count spread.
func (a *Asker) Tell(ctx context.Context, head []byte) {
	ctx, cancel := context.WithTimeout(ctx, hintTimeout)
	defer cancel()
	var telling sync.WaitGroup
	for _, p := range a.o.Router.Connected(hintPeers) {
		telling.Go(func() {
			if err := a.tell(ctx, p, head); err != nil {
				a.o.Log.Debug("tell a head", "peer", p, "error", err)
			}
		})
	}
	telling.Wait()
}

func (a *Asker) tell(ctx context.Context, p *routing.Peer, head []byte) error {
	st, err := a.o.Router.Open(ctx, p, protocol.HintProtocol)
	if err != nil {
		return err
	}
	defer st.Reset(0)
	w := bufio.NewWriter(st)
	if err := protocol.WriteAnswer(w, protocol.Plain, head); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := st.CloseWrite(); err != nil {
		return err
	}
	e, _, err := protocol.ReadAnswer(bufio.NewReader(st), nil, 0)
	if err == nil && e != protocol.End {
		err = fmt.Errorf("an invalid answer: %w", routing.ErrLied)
	}
	return err
}

// ServeHint accepts one hint from a peer.
func (a *Asker) ServeHint(ctx context.Context, st routing.Stream, p *routing.Peer, _ routing.Requester) error {
	if err := st.SetDeadline(time.Now().Add(wire.Slow)); err != nil {
		return err
	}
	if err := p.Asks.WaitN(ctx, hintCost); err != nil {
		return err
	}
	e, head, err := protocol.ReadAnswer(bufio.NewReader(st), nil, protocol.MaxHead)
	if err != nil {
		return err
	}
	key, err := signedBy(head)
	if err != nil || e != protocol.Plain {
		p.Lied()
		return fmt.Errorf("an invalid hint: %w", errors.Join(err, routing.ErrLied))
	}
	err = nil
	switch { // heads of other signers are dropped
	case !bytes.Contains(head, headField):
		err = a.o.Heads.LearnPublished(ctx, head)
	case slices.Contains(a.o.Signers(), key):
		err = a.o.Heads.Learn(ctx, head)
	}
	if err != nil {
		a.o.Log.Debug("a hint", "peer", p, "signer", key, "error", err)
	}
	w := bufio.NewWriter(st)
	if err := protocol.WriteAnswer(w, protocol.End, nil); err != nil {
		return err
	}
	return w.Flush()
}
