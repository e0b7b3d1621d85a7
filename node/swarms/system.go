package swarms

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/node/swarm/fetch"
	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A system is the swarm.System of one membership: the view of this node that its peers get.
type system struct {
	s    *Set
	mesh string // "" is the public swarm
}

// Block implements swarm.System.
func (y *system) Block(ctx context.Context, c cid.CID, to routing.Requester) ([]byte, error) {
	if !y.s.Sharing.MayGive(c, y.mesh, to.Private) {
		return nil, cas.ErrNotFound
	}
	return y.s.o.Store.Block(ctx, c)
}

// AppendBlock implements serve.Appender.
func (y *system) AppendBlock(ctx context.Context, c cid.CID, to routing.Requester, buf []byte) ([]byte, error) {
	if !y.s.Sharing.MayGive(c, y.mesh, to.Private) {
		return nil, cas.ErrNotFound
	}
	return y.s.o.Store.AppendBlock(ctx, c, buf)
}

// Statements implements swarm.System. It returns other signers' statements too: they are signed.
func (y *system) Statements(_ context.Context, ids []pir.PID, to routing.Requester) ([][]byte, error) {
	var said [][]byte
	for _, id := range ids {
		if !y.s.Sharing.MayTell(id, y.mesh, to.Private) {
			continue
		}
		for a, err := range y.s.o.Store.Attestations(id) {
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

// PIR implements swarm.System. A peer gets a PIR if it may get a statement about the package and there is one: a package without statements may
// describe a private file of the user.
func (y *system) PIR(_ context.Context, id pir.PID, to routing.Requester) ([]byte, error) {
	if !y.s.Sharing.MayTell(id, y.mesh, to.Private) {
		return nil, cas.ErrNotFound
	}
	for a, err := range y.s.o.Store.Attestations(id) {
		if err != nil {
			return nil, err
		}
		if a.Via.IsZero() {
			canonical, _, err := y.s.o.Store.PIR(id)
			return canonical, err
		}
	}
	return nil, cas.ErrNotFound
}

// Heads implements swarm.System.
func (y *system) Heads(_ context.Context, keys []protocol.Key) ([][]byte, error) {
	known := y.s.o.Heads.Known()
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

// Learn implements swarm.System: it keeps heads of signers that the policy names.
func (y *system) Learn(_ context.Context, text []byte) error {
	head, err := protocol.DecodeHead(text)
	if err != nil {
		return err
	}
	if !slices.Contains(y.s.o.Policy.Get().Signers(), head.Signer) {
		return nil
	}
	now := time.Now()
	y.s.o.Heads.Clock(head, now)
	if !head.Fresh(now) && !head.Revoked {
		return nil // the peer knows no newer head, or its clock differs
	}
	return y.s.o.Heads.Learn(head, now)
}

// Published implements swarm.System. Every peer may have the heads: they are published.
func (y *system) Published(_ context.Context, keys []protocol.Key) ([][]byte, error) {
	var list [][]byte
	for _, p := range y.s.o.Published.Known(keys) {
		list = append(list, p.Text)
	}
	return list, nil
}

// LearnPublished implements swarm.System.
func (y *system) LearnPublished(_ context.Context, text []byte) error {
	return y.s.o.Published.Learn(text, time.Now())
}

// Receive implements swarm.System.
func (y *system) Receive(ctx context.Context, root cid.CID, size int64) (fetch.Receiver, error) {
	return y.s.Sharing.Receive(ctx, y.mesh, root, size)
}

// Shared implements swarm.System.
func (y *system) Shared(context.Context) iter.Seq2[routing.Announcement, error] {
	return func(yield func(routing.Announcement, error) bool) {
		for b, err := range y.s.o.Store.Bindings() {
			if err != nil {
				yield(routing.Announcement{}, err)
				return
			}
			if y.announces(b.PID) && !yield(routing.Announcement{PID: b.PID, Root: b.CID}, nil) {
				return
			}
		}
		// What the node publishes is announced. What its user follows is not: that would tell everybody.
		publishes := y.s.o.Published.Publishes()
		for _, key := range publishes {
			if !yield(routing.Announcement{Signer: key}, nil) {
				return
			}
		}
		for root, err := range y.s.Sharing.Published() {
			if err != nil {
				yield(routing.Announcement{}, err)
				return
			}
			if slices.Contains(publishes, root.Signer) && !yield(routing.Announcement{Root: root.Root}, nil) {
				return
			}
		}
	}
}

// announces returns whether the node announces a package in the whole membership: public packages, and in a mesh the mesh's own.
func (y *system) announces(id pir.PID) bool {
	reach := y.s.Sharing.Reach(id)
	return reach == config.Public || y.mesh != "" && reach == config.Reach(config.MeshPrefix+y.mesh)
}
