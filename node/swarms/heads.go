package swarms

import (
	"context"
	"sync"
	"time"

	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/protocol"
)

// listen asks for the heads of signers from time to time, and when the policy or the memberships change, so that the node learns of a revocation
// even if it asks for nothing else.
func (s *Set) listen(ctx context.Context) {
	tick := time.NewTicker(listenEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.stale:
		case <-tick.C:
		}
		for _, m := range s.all() {
			m.settled(ctx)
			if _, err := m.Statements(ctx, nil); err != nil && ctx.Err() == nil {
				s.o.Log.Warn("ask for heads", "swarm", m.name, "error", err)
			}
		}
	}
}

// spread sends new heads to peers until ctx ends.
func (s *Set) spread(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case head := <-s.told:
			s.Tell(ctx, head)
		}
	}
}

// Tell sends a head to the peers of all memberships, and waits until they have it or a time limit of the swarm has passed.
func (s *Set) Tell(ctx context.Context, head []byte) {
	var telling sync.WaitGroup
	for _, m := range s.all() {
		telling.Go(func() { m.Tell(ctx, head) })
	}
	telling.Wait()
}

// Hint lets Run send a head to peers. It does not wait, and drops the head if too many wait already: it is a hint only.
func (s *Set) Hint(head []byte) {
	select {
	case s.told <- head:
	default:
	}
}

// Speak makes the node's next head, if there are new public statements of this node or the last head expires soon.
func (s *Set) Speak(ctx context.Context) {
	if len(s.all()) == 0 {
		return
	}
	said, err := s.ownStatements()
	if err == nil {
		err = s.o.Heads.Speak(s.o.Key, said, time.Now())
	}
	if err != nil && ctx.Err() == nil {
		s.o.Log.Warn("make the node's head", "error", err)
	}
}

// ownStatements returns the public statements of this node.
func (s *Set) ownStatements() ([]protocol.Attestation, error) {
	own := protocol.KeyOf(s.o.Key)
	var said []protocol.Attestation
	for b, err := range s.o.Store.Bindings() {
		if err != nil {
			return nil, err
		}
		if s.Sharing.Reach(b.PID) != config.Public {
			continue
		}
		for a, err := range s.o.Store.Attestations(b.PID) {
			if err != nil {
				return nil, err
			}
			if a.Signer == own && a.Via.IsZero() {
				said = append(said, a)
			}
		}
	}
	return said, nil
}
