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

	"github.com/MordragT/nuka/protocol"
)

const (
	// hintPeers is to how many peers a head is handed, and hintTimeout how long one may take to take it.
	hintPeers, hintTimeout = 32, 2 * time.Second
	// hintCost is how many questions a hint costs the peer that brings it: one that counts is written to disk and told on.
	hintCost = 256
)

// Tell hands a signer's head to the peers that are here, some if they are many, and returns when they have it or are late.
// It is a hint: who trusts the signer and knows an older head learns of the new one before it would have asked.
// A System that learns of a head so tells it on; nobody tells what it does not count.
func (s *Swarm) Tell(ctx context.Context, head []byte) {
	ctx, cancel := context.WithTimeout(ctx, hintTimeout)
	defer cancel()
	var telling sync.WaitGroup
	for _, m := range s.connected(hintPeers) {
		telling.Go(func() {
			if err := s.tell(ctx, m, head); err != nil {
				s.log.Debug("tell a head", "peer", m.id, "error", err)
			}
		})
	}
	telling.Wait()
}

func (s *Swarm) tell(ctx context.Context, m *member, head []byte) error {
	st, done, err := s.open(ctx, m.id, protocol.HintProtocol)
	if err != nil {
		return err
	}
	defer done()
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
		err = fmt.Errorf("an answer that is none: %w", errLied)
	}
	return err
}

// serveHint takes one head.
func (s *Swarm) serveHint(ctx context.Context, st network.Stream, m *member) error {
	if err := st.SetDeadline(time.Now().Add(slowStream)); err != nil {
		return err
	}
	if err := m.asks.WaitN(ctx, hintCost); err != nil {
		return err
	}
	e, head, err := protocol.ReadAnswer(bufio.NewReader(st), nil, protocol.MaxHead)
	if err != nil {
		return err
	}
	key, err := signedBy(head)
	if err != nil || e != protocol.Plain {
		m.lied()
		return fmt.Errorf("a hint that is none: %w", errors.Join(err, errLied))
	}
	if slices.Contains(s.o.Signers(), key) { // of others it is not even looked at
		if err := s.o.System.Learn(ctx, head); err != nil {
			s.log.Debug("a hint", "peer", m.id, "signer", key, "error", err)
		}
	}
	w := bufio.NewWriter(st)
	if err := protocol.WriteAnswer(w, protocol.End, nil); err != nil {
		return err
	}
	return w.Flush()
}
