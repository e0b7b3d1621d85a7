package sharing

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

// An arrival is what Sharing knows of a tree while it is fetched. Sharing.mu guards it.
type arrival struct {
	fetches int
	ids     []pir.PID // of the packages whose content it is
	trees   []*Incoming
}

// An Incoming is a tree that is being received, or was received and is not in the sets of Sharing yet.
// Its blocks may go to exactly those nodes to which they may go once the tree is complete.
type Incoming struct {
	*receive.Receiving
	s        *Sharing
	root     cid.CID
	mesh     string                // that it comes out of; "" is the public swarm
	named    bool                  // it is the content of a package, or goes to the LAN like one
	passes   []pir.PID             // the packages that go to the LAN from now on; the zero PID is content in no package
	reaches  map[config.Reach]bool // without LAN
	blocks   map[cid.CID]bool
	finished bool
}

// Expect notes that a tree will be fetched that is the content of a package; the zero PID is none that is known. The caller calls done when the
// fetch has ended.
func (s *Sharing) Expect(id pir.PID, root cid.CID) (done func()) {
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

// Arrived adds a complete tree to the sets, so that they know it when the fetch that Expect noted has ended.
func (s *Sharing) Arrived(ctx context.Context, id pir.PID, root cid.CID) error {
	if id.IsZero() {
		return nil
	}
	return s.Learn(context.WithoutCancel(ctx), id, root) // the store has the tree, even if the call ends now
}

// Receive begins to receive an expected tree, out of a mesh or of the public swarm ("").
func (s *Sharing) Receive(ctx context.Context, mesh string, root cid.CID, size int64) (*Incoming, error) {
	t := &Incoming{s: s, root: root, mesh: mesh, reaches: map[config.Reach]bool{}, blocks: map[cid.CID]bool{}}
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
		delete(t.reaches, config.Mesh) // the tree stays in the mesh that it comes out of
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

// coming notes blocks before any peer can get them.
func (t *Incoming) coming(blocks []cid.CID) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for _, c := range blocks {
		t.blocks[c] = true
	}
}

// Finish implements fetch.Receiver. Sharing knows of the blocks here until the fetch has ended and they are in the sets.
// The store gets a tree out of a mesh together with its mark.
func (t *Incoming) Finish(ctx context.Context) error {
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

// pass notes that packages, or a tree that is in none, came out of the public swarm. The first has its mark already.
func (s *Sharing) pass(ctx context.Context, root cid.CID, ids []pir.PID) error {
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

// swarmMark returns the name of the root that marks a tree as one out of the public swarm.
func swarmMark(id pir.PID, root cid.CID) string {
	if id.IsZero() {
		return swarmRoot + root.String()
	}
	return swarmRoot + id.String()
}

// Close implements fetch.Receiver.
func (t *Incoming) Close() error {
	err := t.Receiving.Close()
	if !t.finished {
		t.forget() // no peer can get the blocks any more
	}
	return err
}

func (t *Incoming) forget() {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if a := t.s.arriving[t.root]; a != nil {
		a.trees = slices.DeleteFunc(a.trees, func(o *Incoming) bool { return o == t })
	}
}

// coming returns the scopes, but for the LAN, of all trees with a block that are not in the sets yet, and whether a package has the block.
// The caller holds mu.
func (s *Sharing) coming(c cid.CID) (all map[config.Reach]bool, named bool) {
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
