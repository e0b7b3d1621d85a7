package swarms

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// This file implements realize.Peers.

// askAll asks all memberships at the same time. It calls take with each answer, one after the other.
func askAll[T any](ctx context.Context, s *Set, ask func(m *Membership) (T, error), take func(m *Membership, answer T)) error {
	_, release, err := s.Enter(ctx)
	if err != nil {
		return err
	}
	defer release()
	var mu sync.Mutex
	var asking sync.WaitGroup
	var errs []error
	for _, m := range s.all() {
		asking.Go(func() {
			m.settled(ctx)
			answer, err := ask(m)
			mu.Lock()
			defer mu.Unlock()
			take(m, answer)
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	asking.Wait()
	return errors.Join(errs...)
}

// Statements implements realize.Peers: it asks all memberships at the same time.
func (s *Set) Statements(ctx context.Context, ids []pir.PID) (all []protocol.Attestation, err error) {
	err = askAll(ctx, s, func(m *Membership) ([]protocol.Attestation, error) { return m.Statements(ctx, ids) }, func(m *Membership, said []protocol.Attestation) {
		all = append(all, said...)
		for _, a := range said {
			s.Sharing.Hear(m.name, a.PID)
		}
	})
	return all, err
}

// PIRs implements realize.Peers: it asks all memberships at the same time.
func (s *Set) PIRs(ctx context.Context, ids []pir.PID) (map[pir.PID][]byte, error) {
	all := map[pir.PID][]byte{}
	err := askAll(ctx, s, func(m *Membership) (map[pir.PID][]byte, error) { return m.PIRs(ctx, ids) }, func(m *Membership, got map[pir.PID][]byte) {
		maps.Copy(all, got)
		for id := range got {
			if m.name != "" { // a PIR that the public swarm has makes no package public that a mesh has told of
				s.Sharing.Hear(m.name, id)
			}
		}
	})
	return all, err
}

// Published asks all memberships at the same time for the heads of what signers publish.
func (s *Set) Published(ctx context.Context, keys []protocol.Key) (all [][]byte, err error) {
	err = askAll(ctx, s, func(m *Membership) ([][]byte, error) { return m.Published(ctx, keys) }, func(_ *Membership, heads [][]byte) {
		all = append(all, heads...)
	})
	return all, err
}

// Fetch implements realize.Peers. It tries meshes first: they are near.
func (s *Set) Fetch(ctx context.Context, id pir.PID, root cid.CID, size int64, progress func(done, total int64)) error {
	defer s.Sharing.Expect(id, root)()
	_, release, err := s.Enter(ctx)
	if err != nil {
		return err
	}
	defer release()
	var errs []error
	for _, public := range []bool{false, true} {
		for _, m := range s.all() {
			if (m.name == "") != public {
				continue
			}
			m.settled(ctx)
			err := m.Fetch(ctx, root, size, progress)
			if err == nil {
				return s.Sharing.Arrived(ctx, id, root)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return protocol.Errorf(protocol.Unavailable, "fetch %s: this node is in no swarm", root)
	}
	return errors.Join(errs...)
}

// Announce implements realize.Peers: these packages have content now.
func (s *Set) Announce(ids ...pir.PID) {
	for _, id := range ids {
		content, err := s.o.Store.CID(id)
		if err == nil {
			err = s.Sharing.Learn(context.Background(), id, content)
		}
		if err != nil {
			s.o.Log.Warn("the scope of a package is unknown", "pid", id, "error", err)
		}
	}
	for _, m := range s.all() {
		m.Announce(ids...)
	}
}
