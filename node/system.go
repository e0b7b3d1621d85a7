package node

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/node/swarm/fetch"
	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// system is the swarm.System of one membership: what its peers may see of this node.
type system struct {
	s    *swarms
	mesh string // "" is the public swarm
}

// Block implements swarm.System.
func (y *system) Block(ctx context.Context, c cid.CID, to routing.Requester) ([]byte, error) {
	if !y.s.sharing.MayGive(c, y.mesh, to.Private) {
		return nil, cas.ErrNotFound
	}
	return y.s.store.Block(ctx, c)
}

// AppendBlock implements serve.Appender.
func (y *system) AppendBlock(ctx context.Context, c cid.CID, to routing.Requester, buf []byte) ([]byte, error) {
	if !y.s.sharing.MayGive(c, y.mesh, to.Private) {
		return nil, cas.ErrNotFound
	}
	return y.s.store.AppendBlock(ctx, c, buf)
}

// Statements implements swarm.System. What others have said is told too: it is signed.
func (y *system) Statements(_ context.Context, ids []pir.PID, to routing.Requester) ([][]byte, error) {
	var said [][]byte
	for _, id := range ids {
		if !y.s.sharing.MayTell(id, y.mesh, to.Private) {
			continue
		}
		for a, err := range y.s.store.Attestations(id) {
			if err != nil {
				return nil, err
			}
			if !a.Via.IsZero() {
				continue
			}
			text, err := a.Encode()
			if err != nil {
				return nil, err
			}
			said = append(said, text)
		}
	}
	return said, nil
}

// PIR implements swarm.System. It is given where a statement about its package is: a package of which nothing was said here may be
// a file of the user's that nobody was to know.
func (y *system) PIR(_ context.Context, id pir.PID, to routing.Requester) ([]byte, error) {
	if !y.s.sharing.MayTell(id, y.mesh, to.Private) {
		return nil, cas.ErrNotFound
	}
	for a, err := range y.s.store.Attestations(id) {
		if err != nil {
			return nil, err
		}
		if a.Via.IsZero() {
			canonical, _, err := y.s.store.PIR(id)
			return canonical, err
		}
	}
	return nil, cas.ErrNotFound
}

// Heads implements swarm.System.
func (y *system) Heads(_ context.Context, keys []protocol.Key) ([][]byte, error) {
	known := y.s.heads.Known()
	var list [][]byte
	for _, key := range keys {
		head := known[key]
		if head == nil {
			continue
		}
		text, err := head.Encode()
		if err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, nil
}

// Learn implements swarm.System: heads of signers that count for something are kept.
func (y *system) Learn(_ context.Context, text []byte) error {
	head, err := protocol.DecodeHead(text)
	if err != nil {
		return err
	}
	if !slices.Contains(y.s.policy.Get().Signers(), head.Signer) {
		return nil
	}
	now := time.Now()
	y.s.heads.clock(head, now)
	if !head.Fresh(now) && !head.Revoked {
		return nil // whoever brings it knows nothing newer, or goes by another clock
	}
	return y.s.heads.learn(head, now)
}

// Receive implements swarm.System.
func (y *system) Receive(ctx context.Context, root cid.CID, size int64) (fetch.Receiver, error) {
	return y.s.sharing.receive(ctx, y.mesh, root, size)
}

// Shared implements swarm.System.
func (y *system) Shared(context.Context) iter.Seq2[routing.Announcement, error] {
	return func(yield func(routing.Announcement, error) bool) {
		for b, err := range y.s.store.Bindings() {
			if err != nil {
				yield(routing.Announcement{}, err)
				return
			}
			if y.announces(b.PID) && !yield(routing.Announcement{PID: b.PID, Root: b.CID}, nil) {
				return
			}
		}
	}
}

// announces says whether a package is announced to all of the membership: what is public, and in a mesh what is its own.
func (y *system) announces(id pir.PID) bool {
	reach := y.s.sharing.Reach(id)
	return reach == config.Public || y.mesh != "" && reach == config.Reach(config.MeshPrefix+y.mesh)
}

// PIRs implements realize.Peers: all memberships are asked at once, as about statements.
func (s *swarms) PIRs(ctx context.Context, ids []pir.PID) (map[pir.PID][]byte, error) {
	_, release, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	var mu sync.Mutex
	var asking sync.WaitGroup
	all := map[pir.PID][]byte{}
	var errs []error
	for _, m := range s.all() {
		asking.Go(func() {
			m.settled(ctx)
			got, err := m.swarm.PIRs(ctx, ids)
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(all, got)
			if err != nil {
				errs = append(errs, err)
			}
			for id := range got {
				if m.name != "" { // a description that the public swarm has makes nothing public that a mesh has told
					s.sharing.hear(m.name, id)
				}
			}
		})
	}
	asking.Wait()
	return all, errors.Join(errs...)
}
