package node

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// resting lists the packages that are here by the word of revoked keys only, and which roots need them.
func (h *handler) resting(ctx context.Context) ([]protocol.Resting, error) {
	if !h.anyRevoked() {
		return nil, nil
	}
	at := map[pir.PID]*protocol.Resting{}
	for b, err := range h.store.Bindings() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		keys, err := h.restsOn(b.PID, b.CID)
		if err != nil {
			return nil, err
		}
		if len(keys) > 0 {
			at[b.PID] = &protocol.Resting{PID: b.PID, Name: h.packageName(b.PID), CID: b.CID.String(), Keys: keys}
		}
	}
	for root, err := range h.store.Roots() {
		if err != nil {
			return nil, err
		}
		closure, err := h.closureOf(root)
		if err != nil {
			return nil, err
		}
		for id := range closure {
			if r := at[id]; r != nil {
				r.Roots = append(r.Roots, root.Name)
			}
		}
	}
	var list []protocol.Resting
	for _, id := range slices.SortedFunc(maps.Keys(at), func(a, b pir.PID) int { return slices.Compare(a[:], b[:]) }) {
		list = append(list, *at[id])
	}
	return list, nil
}

func (h *handler) anyRevoked() bool {
	for _, head := range h.heads.Known() {
		if head.Revoked && head.Signer != h.key {
			return true
		}
	}
	return false
}

// restsOn returns the revoked keys by whose word a package has its content, if there is no other word for it that counts.
func (h *handler) restsOn(id pir.PID, content cid.CID) ([]protocol.Key, error) {
	if !h.anyRevoked() {
		return nil, nil
	}
	known := h.heads.Known()
	for range 2 { // what stands on a resolved PID's word has none of its own
		d, err := h.realizer.Decide(id)
		if err != nil {
			return nil, err
		}
		if d.CID == content {
			return nil, nil
		}
		var keys []protocol.Key
		for _, v := range d.Votes {
			if head := known[v.Signer]; v.CID == content && head != nil && head.Revoked {
				keys = append(keys, v.Signer)
			}
		}
		if len(keys) > 0 {
			return keys, nil
		}
		via := pir.PID{}
		for a, err := range h.store.Attestations(id) {
			if err != nil {
				return nil, err
			}
			if a.Signer == h.key && a.CID == content && !a.Via.IsZero() {
				via = a.Via
			}
		}
		if via.IsZero() {
			return nil, nil
		}
		id = via
	}
	return nil, nil
}

// closureOf returns the packages that a root needs, by whoever has named what they refer to: their word may not count any more.
func (h *handler) closureOf(root cas.Root) (map[pir.PID]bool, error) {
	var queue []pir.PID
	if root.PID.IsZero() {
		for id, err := range h.store.PIDs(root.CID) {
			if err != nil {
				return nil, err
			}
			queue = append(queue, id)
		}
	} else {
		queue = append(queue, root.PID)
	}
	seen := map[pir.PID]bool{}
	for ; len(queue) > 0; queue = queue[1:] {
		id := queue[0]
		if seen[id] {
			continue
		}
		seen[id] = true
		content, err := h.store.CID(id)
		if errors.Is(err, cas.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for a, err := range h.store.Attestations(id) {
			if err != nil {
				return nil, err
			}
			if a.CID == content {
				queue = append(queue, a.Refs...)
			}
			if !a.Via.IsZero() && a.Signer == h.key {
				queue = append(queue, a.Via)
			}
		}
	}
	return seen, nil
}

// packageName returns the name and version of a package, "" when its description is not here.
func (h *handler) packageName(id pir.PID) string {
	canonical, _, err := h.store.PIR(id)
	if err != nil {
		return ""
	}
	p, err := pir.Decode(canonical)
	if err != nil {
		return ""
	}
	if p.Version == "" {
		return p.Name
	}
	return p.Name + " " + p.Version
}
