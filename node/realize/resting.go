package realize

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

// Resting lists the packages whose content rests on claims of revoked keys only, with the roots that need them.
func (r *Realizer) Resting(ctx context.Context) ([]protocol.Resting, error) {
	if !r.anyRevoked() {
		return nil, nil
	}
	at := map[pir.PID]*protocol.Resting{}
	for b, err := range r.o.Store.Bindings() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		keys, err := r.RestsOn(b.PID, b.CID)
		if err != nil {
			return nil, err
		}
		if len(keys) > 0 {
			at[b.PID] = &protocol.Resting{PID: b.PID, Name: r.packageName(b.PID), CID: b.CID.String(), Keys: keys}
		}
	}
	for root, err := range r.o.Store.Roots() {
		if err != nil {
			return nil, err
		}
		closure, err := r.closureOf(root)
		if err != nil {
			return nil, err
		}
		for id := range closure {
			if p := at[id]; p != nil {
				p.Roots = append(p.Roots, root.Name)
			}
		}
	}
	var list []protocol.Resting
	for _, id := range slices.SortedFunc(maps.Keys(at), func(a, b pir.PID) int { return slices.Compare(a[:], b[:]) }) {
		list = append(list, *at[id])
	}
	return list, nil
}

// heads returns the newest known heads of signers.
func (r *Realizer) heads() map[protocol.Key]*protocol.Head {
	if r.o.Heads == nil {
		return nil
	}
	return r.o.Heads()
}

func (r *Realizer) anyRevoked() bool {
	for _, head := range r.heads() {
		if head.Revoked && head.Signer != protocol.KeyOf(r.o.Key) {
			return true
		}
	}
	return false
}

// RestsOn returns the revoked keys whose statements are the only ones for a package's content, or none if another claim for it counts.
func (r *Realizer) RestsOn(id pir.PID, content cid.CID) ([]protocol.Key, error) {
	if !r.anyRevoked() {
		return nil, nil
	}
	known := r.heads()
	for range 2 { // a PID that rests on the claim about its resolved PID has none of its own
		d, err := r.Decide(id)
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
		for a, err := range r.o.Store.Attestations(id) {
			if err != nil {
				return nil, err
			}
			if a.Signer == protocol.KeyOf(r.o.Key) && a.CID == content && !a.Via.IsZero() {
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

// closureOf returns the packages that a root needs. It follows the references in all statements about their contents, even in those of
// signers that no longer count.
func (r *Realizer) closureOf(root cas.Root) (map[pir.PID]bool, error) {
	var queue []pir.PID
	if root.PID.IsZero() {
		for id, err := range r.o.Store.PIDs(root.CID) {
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
		content, err := r.o.Store.CID(id)
		if errors.Is(err, cas.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for a, err := range r.o.Store.Attestations(id) {
			if err != nil {
				return nil, err
			}
			if a.CID == content {
				queue = append(queue, a.Refs...)
			}
			if !a.Via.IsZero() && a.Signer == protocol.KeyOf(r.o.Key) {
				queue = append(queue, a.Via)
			}
		}
	}
	return seen, nil
}

// packageName returns the name and version of a package, or "" if the store does not have its description.
func (r *Realizer) packageName(id pir.PID) string {
	canonical, _, err := r.o.Store.PIR(id)
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
