package castest

import (
	"context"
	"maps"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A hold is what a test keeps from collection.
type hold struct {
	cids []cid.CID
	pids []pir.PID
}

// Hold implements Store.
func (m *Model) Hold(cids []cid.CID, pids []pir.PID) (release func()) {
	m.held++
	n := m.held
	m.holds[n] = hold{cids, pids}
	return func() { delete(m.holds, n) }
}

// Use implements Store.
func (m *Model) Use(_ context.Context, at time.Time, pids ...pir.PID) error {
	for _, p := range pids {
		m.used[p] = at.Truncate(24 * time.Hour)
	}
	return nil
}

// A liveness is the live objects of a model.
type liveness struct {
	m       *Model
	entries map[cid.CID]bool // files, links and folders
	pids    map[pir.PID]bool
}

func (l *liveness) pid(p pir.PID) {
	if l.pids[p] || p.IsZero() {
		return
	}
	l.pids[p] = true
	if c, ok := l.m.bound[p]; ok {
		l.cid(c)
	}
	for _, a := range l.m.atts[p] {
		for _, ref := range a.Refs {
			l.pid(ref)
		}
	}
}

func (l *liveness) cid(c cid.CID) {
	if l.entries[c] {
		return
	}
	entries, ok := l.m.trees[c]
	if !ok {
		return
	}
	l.entries[c] = true
	for p, bound := range l.m.bound {
		if bound == c {
			l.pid(p)
		}
	}
	for _, e := range entries {
		l.cid(e.CID)
		// An executable of one leaf is the same bytes as a plain file, which its leaf names.
		if b := l.m.files[e.CID]; e.Kind == cas.File && len(b) <= cid.LeafSize {
			l.cid(cid.Sum(cid.Raw, b))
		}
	}
}

// Collect implements Store. The size on the disk is not known.
func (m *Model) Collect(_ context.Context, o *cas.CollectOptions) (cas.Collected, error) {
	l := &liveness{m: m, entries: map[cid.CID]bool{}, pids: map[pir.PID]bool{}}
	for _, r := range m.roots {
		l.cid(r.CID)
		l.pid(r.PID)
	}
	for _, h := range m.holds {
		for _, c := range h.cids {
			l.cid(c)
		}
		for _, p := range h.pids {
			l.pid(p)
		}
	}
	for p := range m.bound {
		if at, ok := m.used[p]; ok && !o.Recent.IsZero() && !at.Before(o.Recent) {
			l.pid(p)
		}
	}
	var out cas.Collected
	blobs := map[string]bool{}
	for c, b := range m.files {
		if !l.entries[c] {
			blobs[string(b)] = true
		}
	}
	for c, b := range m.files {
		if l.entries[c] {
			delete(blobs, string(b))
		}
	}
	out.Blobs = len(blobs)
	bound := maps.Clone(m.bound)
	for p, c := range m.bound {
		if !l.pids[p] && !l.entries[c] {
			out.Packages++
			out.Gone = append(out.Gone, p)
			delete(bound, p)
		}
	}
	known := m.known(l.pids)
	for p := range m.pirs {
		if !known[p] {
			out.Records++
		}
	}
	for p, list := range m.atts {
		if !known[p] {
			out.Records += len(list)
		}
	}
	if o.DryRun {
		return out, nil
	}
	m.bound = bound
	maps.DeleteFunc(m.pirs, func(p pir.PID, _ [2][]byte) bool { return !known[p] })
	maps.DeleteFunc(m.atts, func(p pir.PID, _ []protocol.Attestation) bool { return !known[p] })
	maps.DeleteFunc(m.used, func(p pir.PID, _ time.Time) bool { return !known[p] })
	maps.DeleteFunc(m.trees, func(c cid.CID, _ []cas.Entry) bool { return !l.entries[c] })
	maps.DeleteFunc(m.files, func(c cid.CID, _ []byte) bool { return !l.entries[c] })
	blocks := map[cid.CID][]byte{}
	for c := range l.entries {
		m.below(blocks, c)
	}
	m.blocks = blocks
	return out, nil
}

// known returns the live packages, and those that have the content of one by some signer.
func (m *Model) known(live map[pir.PID]bool) map[pir.PID]bool {
	stated := map[cid.CID]bool{}
	for p := range live {
		for _, a := range m.atts[p] {
			stated[a.CID] = true
		}
	}
	known := maps.Clone(live)
	for p, list := range m.atts {
		for _, a := range list {
			known[p] = known[p] || stated[a.CID]
		}
	}
	return known
}

// below adds a block and all blocks below it.
func (m *Model) below(blocks map[cid.CID][]byte, c cid.CID) {
	if _, ok := blocks[c]; ok {
		return
	}
	blocks[c] = m.blocks[c]
	if c.Codec() != cid.DagPB {
		return
	}
	n, err := cid.Decode(m.blocks[c])
	if err != nil {
		panic(err) // the block was encoded by the model
	}
	for _, l := range n.Links {
		m.below(blocks, l.CID)
	}
}
