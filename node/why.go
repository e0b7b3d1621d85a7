package node

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/sharing"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// ofOthers is what a user of a system daemon learns of roots and work of other users and of the machine.
const ofOthers = "the machine or another user"

// why answers OpWhy: the roots and leases that keep a package or content, each with the shortest way to it. A user of a system daemon sees only
// the roots of that user; of all other roots, and of running work, the user learns that there are some.
func (h *handler) why(ctx context.Context, caller *request, a protocol.PathArgs) (*protocol.Why, error) {
	id, content, err := h.content(a.ID)
	if err != nil {
		return nil, err
	}
	s := &search{h: h, ctx: ctx, id: id, content: content, next: map[pir.PID][]pir.PID{}, trees: map[cid.CID]bool{}}
	out := &protocol.Why{Keepers: []protocol.Keeper{}}
	others := false
	for r, err := range h.store.Roots() {
		if err != nil {
			return nil, err
		}
		if sharing.IsMark(r.Name) {
			continue
		}
		path, ok, err := s.find([]pir.PID{r.PID}, []cid.CID{r.CID})
		if err != nil {
			return nil, err
		}
		if name, own := strings.CutPrefix(r.Name, caller.rootPrefix()); ok && own {
			out.Keepers = append(out.Keepers, protocol.Keeper{Root: name, Path: path})
		} else {
			others = others || ok
		}
	}
	for lease := range h.store.Leases() {
		items := lease.Items()
		path, ok, err := s.find(items.PIDs, items.CIDs)
		if err != nil {
			return nil, err
		}
		switch {
		case ok && caller.User == 0:
			out.Keepers = append(out.Keepers, protocol.Keeper{Lease: lease.What(), Path: path})
		case ok:
			others = true
		}
	}
	if others {
		out.Keepers = append(out.Keepers, protocol.Keeper{Lease: ofOthers, Path: []protocol.Found{}})
	}
	return out, nil
}

// A search looks for an object from roots and leases on.
type search struct {
	h       *handler
	ctx     context.Context
	id      pir.PID // zero: content in no package
	content cid.CID

	next  map[pir.PID][]pir.PID // what was found out about references
	trees map[cid.CID]bool      // which trees have the content
}

// find returns the shortest way from packages and trees to the object, and whether there is one.
func (s *search) find(ids []pir.PID, trees []cid.CID) ([]protocol.Found, bool, error) {
	from := map[pir.PID]pir.PID{}
	var queue []pir.PID
	add := func(p, by pir.PID) {
		if _, known := from[p]; !known && !p.IsZero() {
			from[p] = by
			queue = append(queue, p)
		}
	}
	for _, p := range ids {
		add(p, pir.PID{})
	}
	for _, c := range trees {
		if ok, err := s.has(c); ok || err != nil {
			return []protocol.Found{}, err == nil, err
		}
		for p, err := range s.h.store.PIDs(c) {
			if err != nil {
				return nil, false, err
			}
			add(p, pir.PID{})
		}
	}
	for i := 0; i < len(queue); i++ {
		p := queue[i]
		here := p == s.id
		if c, err := s.h.store.CID(p); err == nil && !here {
			if here, err = s.has(c); err != nil {
				return nil, false, err
			}
		}
		if here {
			var path []protocol.Found
			for ; !p.IsZero(); p = from[p] {
				path = append(path, s.h.found(p))
			}
			slices.Reverse(path)
			return path, true, nil
		}
		refs, err := s.refs(p)
		if err != nil {
			return nil, false, err
		}
		for _, ref := range refs {
			add(ref, p)
		}
	}
	return nil, false, nil
}

// refs returns the packages that keep with p: those that it refers to by the attestation of any signer.
func (s *search) refs(p pir.PID) ([]pir.PID, error) {
	if list, ok := s.next[p]; ok {
		return list, nil
	}
	list := []pir.PID{}
	for at, err := range s.h.store.Attestations(p) {
		if err != nil {
			return nil, err
		}
		list = append(list, at.Refs...)
	}
	s.next[p] = list
	return list, nil
}

// has says whether a tree is the content, or has it.
func (s *search) has(tree cid.CID) (bool, error) {
	if tree == s.content {
		return true, nil
	}
	if tree.IsZero() || !s.id.IsZero() {
		return false, nil
	}
	known, ok := s.trees[tree]
	if ok {
		return known, nil
	}
	found := errors.New("found")
	err := s.h.store.Walk(s.ctx, tree, func(c cid.CID) error {
		if c == s.content {
			return found
		}
		return nil
	})
	known = errors.Is(err, found)
	s.trees[tree] = known
	if known || errors.Is(err, cas.ErrNotFound) {
		err = nil
	}
	return known, err
}

// size answers OpSize.
func (h *handler) size(ctx context.Context, a protocol.PathArgs) (*protocol.Sizes, error) {
	id, content, err := h.content(a.ID)
	if err != nil {
		return nil, err
	}
	out := &protocol.Sizes{Packages: 1}
	own := map[cid.CID]int64{}
	if err := h.leaves(ctx, content, own); err != nil {
		return nil, err
	}
	closure := map[cid.CID]int64{}
	s := &search{h: h, next: map[pir.PID][]pir.PID{}}
	seen := map[pir.PID]bool{id: true}
	for queue := []pir.PID{id}; len(queue) > 0; queue = queue[1:] {
		refs, err := s.refs(queue[0])
		if err != nil {
			return nil, err
		}
		for _, ref := range refs {
			if seen[ref] {
				continue
			}
			seen[ref] = true
			queue = append(queue, ref)
			c, err := h.store.CID(ref)
			if err == nil {
				err = h.leaves(ctx, c, closure)
			}
			if out.Packages++; errors.Is(err, cas.ErrNotFound) {
				out.Missing++
			} else if err != nil {
				return nil, cas.Coded(err)
			}
		}
	}
	for c, size := range own {
		out.Own += size
		closure[c] = size
	}
	for _, size := range closure {
		out.Closure += size
	}
	return out, h.exclusive(ctx, content, own, out)
}

// exclusive fills in how much of a tree no other tree has.
func (h *handler) exclusive(ctx context.Context, content cid.CID, own map[cid.CID]int64, out *protocol.Sizes) error {
	others := map[cid.CID]bool{}
	for b, err := range h.store.Bindings() {
		if err != nil {
			return err
		}
		others[b.CID] = true
	}
	for r, err := range h.store.Roots() {
		if err != nil {
			return err
		}
		others[r.CID] = others[r.CID] || !sharing.IsMark(r.Name)
	}
	delete(others, content)
	out.Exclusive = out.Own
	for tree, keeps := range others {
		if !keeps {
			continue
		}
		err := h.store.Walk(ctx, tree, func(c cid.CID) error {
			out.Exclusive -= own[c]
			delete(own, c)
			return nil
		})
		if err != nil && !errors.Is(err, cas.ErrNotFound) {
			return cas.Coded(err)
		}
	}
	return nil
}

// leaves adds the leaves of a tree and their sizes.
func (h *handler) leaves(ctx context.Context, tree cid.CID, into map[cid.CID]int64) error {
	return h.store.Walk(ctx, tree, func(c cid.CID) error {
		if c.Codec() != cid.Raw {
			return nil
		}
		size, err := h.store.Size(c)
		into[c] = size
		return err
	})
}
