package node

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/receive"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// An arrival is what is known of a tree while it is fetched. Guarded by the sharing's mu.
type arrival struct {
	fetches int
	ids     []pir.PID // of the packages whose content it is
	trees   []*incomingTree
}

// An incomingTree is one that is being received, or has been and is not in the sets of the sharing yet.
// Its blocks may go where they may go once all of it is here, no farther and no less far.
type incomingTree struct {
	*receive.Receiving
	s        *sharing
	root     cid.CID
	mesh     string                // out of which it comes; "" is the public swarm
	named    bool                  // it is the content of a package, or goes to the LAN like one
	passes   []pir.PID             // of the packages that go to the LAN from now on; the zero PID is none
	reaches  map[config.Reach]bool // without LAN
	blocks   map[cid.CID]bool
	finished bool
}

// expect notes that a tree is fetched which is the content of a package, or of none that is known. Done ends that.
func (s *sharing) expect(id pir.PID, root cid.CID) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.arriving[root]
	if a == nil {
		a = &arrival{}
		s.arriving[root] = a
	}
	a.fetches++
	if !id.IsZero() {
		a.ids = append(a.ids, id)
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if a.fetches--; a.fetches == 0 {
			delete(s.arriving, root)
		}
	}
}

// arrived makes what expect has noted of a tree last, when it is here.
func (s *sharing) arrived(ctx context.Context, id pir.PID, root cid.CID) error {
	if id.IsZero() {
		return nil
	}
	return s.learn(context.WithoutCancel(ctx), id, root) // it is here, whatever becomes of the call
}

// receive begins to take in a tree that was expected, out of a mesh or of the public swarm ("").
func (s *sharing) receive(ctx context.Context, mesh string, root cid.CID, size int64) (*incomingTree, error) {
	t := &incomingTree{s: s, root: root, mesh: mesh, reaches: map[config.Reach]bool{}, blocks: map[cid.CID]bool{}}
	s.mu.RLock()
	var ids []pir.PID
	if a := s.arriving[root]; a != nil {
		ids = append(ids, a.ids...)
	}
	s.mu.RUnlock()
	o := &receive.Options{Size: size}
	if mesh != "" {
		t.reaches[config.Reach(config.MeshPrefix+mesh)] = true
		o.RootName = meshMark(mesh, root)
	}
	for _, id := range ids {
		t.named = true
		if mesh == "" && s.passes(id) {
			t.passes = append(t.passes, id)
			continue
		}
		t.reaches[s.Reach(id)] = true
	}
	if mesh == "" && len(ids) == 0 && s.passes(pir.PID{}) {
		t.named, t.passes = true, []pir.PID{{}}
	}
	if len(t.passes) > 0 {
		o.RootName = swarmMark(t.passes[0], root)
	}
	if mesh != "" {
		delete(t.reaches, config.Mesh) // it stays in the one that it comes out of
	}
	if delete(t.reaches, config.LAN); len(t.reaches) > 0 || t.named && s.nameless() != config.LAN {
		o.Coming = t.coming
		s.mu.Lock()
		if a := s.arriving[root]; a != nil {
			a.trees = append(a.trees, t)
		}
		s.mu.Unlock()
	}
	var err error
	if t.Receiving, err = s.store.Receive(ctx, root, o); err != nil {
		t.forget()
		return nil, err
	}
	return t, nil
}

// coming notes blocks before anybody can have them.
func (t *incomingTree) coming(blocks []cid.CID) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for _, c := range blocks {
		t.blocks[c] = true
	}
}

// Finish implements fetch.Receiver. What is known of the blocks stays until the fetch is over: until it is in the sets.
// A tree out of a mesh has its mark from the moment on at which the store has it.
func (t *incomingTree) Finish(ctx context.Context) error {
	if err := t.Receiving.Finish(ctx); err != nil {
		return err
	}
	t.finished = true
	ctx = context.WithoutCancel(ctx)
	if t.mesh != "" {
		return t.s.addBlocks(ctx, config.Reach(config.MeshPrefix+t.mesh), t.root)
	}
	return t.s.pass(ctx, t.root, t.passes)
}

// pass notes of packages, and of a tree that is in none, that they came out of the public swarm. The first has its mark already.
func (s *sharing) pass(ctx context.Context, root cid.CID, ids []pir.PID) error {
	for i, id := range ids {
		if id.IsZero() {
			return s.addBlocks(ctx, config.LAN, root)
		}
		if i > 0 {
			if err := s.store.PutRoot(ctx, cas.Root{Name: swarmMark(id, root), CID: root, PID: id, Created: time.Now()}); err != nil {
				return err
			}
		}
		s.mu.Lock()
		s.passed[id] = true
		s.mu.Unlock()
	}
	return nil
}

// swarmMark is the name of the root that says that a tree came out of the public swarm.
func swarmMark(id pir.PID, root cid.CID) string {
	if id.IsZero() {
		return swarmRoot + root.String()
	}
	return swarmRoot + id.String()
}

// Close implements fetch.Receiver.
func (t *incomingTree) Close() error {
	err := t.Receiving.Close()
	if !t.finished {
		t.forget() // nobody can have them any more
	}
	return err
}

func (t *incomingTree) forget() {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if a := t.s.arriving[t.root]; a != nil {
		a.trees = slices.DeleteFunc(a.trees, func(o *incomingTree) bool { return o == t })
	}
}

// coming returns the reaches of all trees with a block that are not in the sets yet, LAN is none, and whether a package has it.
// The caller holds mu.
func (s *sharing) coming(c cid.CID) (all map[config.Reach]bool, named bool) {
	for _, a := range s.arriving {
		for _, t := range a.trees {
			if !t.blocks[c] {
				continue
			}
			named = named || t.named
			if all == nil {
				all = t.reaches
				continue
			}
			all = maps.Clone(all)
			maps.Copy(all, t.reaches)
		}
	}
	return all, named
}
