package collect

import (
	"context"
	"errors"

	"github.com/MordragT/nuka/cas/block"
	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/cas/lease"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A key is an object that marks know: its kind and its digest.
type key [33]byte

// The kinds of keys.
const (
	nodeKind  = 'n'
	leafKind  = 'l' // a record of where a leaf is
	rawKind   = 'r' // a blob whose name is a leaf
	largeKind = 'f' // a blob whose name is a node
)

func keyOf(kind byte, c cid.CID) (k key) {
	d := c.Digest()
	k[0] = kind
	copy(k[1:], d[:])
	return k
}

func blobKey(c cid.CID) key {
	if c.Codec() == cid.Raw {
		return keyOf(rawKind, c)
	}
	return keyOf(largeKind, c)
}

// marks are the live objects. They are for one goroutine.
type marks struct {
	x      *index.Index
	blocks *block.Store

	live    map[key]bool     // live objects; true: a node that was visited
	pids    map[pir.PID]bool // live packages
	known   map[pir.PID]bool // packages whose records are kept: live ones, and the inputs from which they are built
	binders map[cid.CID][]pir.PID

	nodes []cid.CID // to visit
	queue []pir.PID // to visit
	input []pir.PID // to visit: inputs of known packages

	// parts has the leaves that are parts of larger files, while the first marks are made; nil afterwards. Most small files are none, and
	// need not be looked for. What becomes one meanwhile is leased, and marked later.
	parts map[key]bool

	fresh func(key) // is called for each object when it is marked first; nil: no calls
}

func newMarks(x *index.Index, blocks *block.Store, binders map[cid.CID][]pir.PID) *marks {
	return &marks{x: x, blocks: blocks, live: map[key]bool{}, pids: map[pir.PID]bool{}, known: map[pir.PID]bool{}, binders: binders}
}

// findParts fills parts.
func (m *marks) findParts() error {
	m.parts = map[key]bool{}
	for row, err := range m.x.Scan(index.Leaves.Key()) {
		if err != nil {
			return err
		}
		m.parts[key(append([]byte{leafKind}, row.Key[1:]...))] = true
	}
	return nil
}

func (m *marks) set(k key) {
	if m.has(k) {
		return
	}
	m.live[k] = false
	if m.fresh != nil {
		m.fresh(k)
	}
}

func (m *marks) has(k key) bool {
	_, ok := m.live[k]
	return ok
}

// hasCID says whether the tree or file that c names is live.
func (m *marks) hasCID(c cid.CID) bool {
	if c.Codec() == cid.DagPB {
		return m.has(keyOf(nodeKind, c))
	}
	return m.has(keyOf(rawKind, c))
}

// items marks leased objects and everything that they need.
func (m *marks) items(ctx context.Context, i lease.Items) error {
	for _, c := range i.CIDs {
		if err := m.root(c); err != nil {
			return err
		}
	}
	for _, p := range i.PIDs {
		m.pid(p)
	}
	return m.drain(ctx)
}

// root marks whatever c may name: a tree, a file, a blob or a leaf of one. The caller calls drain.
func (m *marks) root(c cid.CID) error {
	if c.IsZero() {
		return nil
	}
	m.set(blobKey(c))
	m.bound(c)
	if c.Codec() == cid.DagPB {
		m.set(keyOf(nodeKind, c)) // a leased node may come at any moment
		m.nodes = append(m.nodes, c)
		return nil
	}
	return m.leaf(c, true)
}

// leaf marks the record of where a leaf is, and the blob that it names unless that is the one of a live file.
func (m *marks) leaf(c cid.CID, blob bool) error {
	k := keyOf(leafKind, c)
	if m.has(k) && !blob {
		return nil
	}
	m.set(k)
	if !blob {
		return nil
	}
	p, err := placeOf(m.x, c)
	if err != nil || p.Blob.IsZero() {
		return err
	}
	m.set(blobKey(p.Blob))
	return nil
}

// placeOf returns where the index says that a leaf is, or a zero Place.
func placeOf(x *index.Index, leaf cid.CID) (index.Place, error) {
	v, err := x.Get(index.LeafKey(leaf))
	if errors.Is(err, disk.ErrNotFound) {
		return index.Place{}, nil
	}
	if err != nil {
		return index.Place{}, err
	}
	return index.DecodePlace(v)
}

// bound marks the packages whose content c is.
func (m *marks) bound(c cid.CID) {
	for _, p := range m.binders[c] {
		m.pid(p)
	}
}

// pid marks a package. The caller calls drain.
func (m *marks) pid(p pir.PID) {
	if p.IsZero() || m.pids[p] {
		return
	}
	m.pids[p] = true
	m.queue = append(m.queue, p)
}

// drain visits what was marked until nothing new is found.
func (m *marks) drain(ctx context.Context) error {
	for steps := 0; ; steps++ {
		if steps%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		var err error
		switch {
		case len(m.nodes) > 0:
			c := m.nodes[len(m.nodes)-1]
			m.nodes = m.nodes[:len(m.nodes)-1]
			err = m.node(c)
		case len(m.queue) > 0:
			p := m.queue[len(m.queue)-1]
			m.queue = m.queue[:len(m.queue)-1]
			err = m.visit(p)
		case len(m.input) > 0:
			p := m.input[len(m.input)-1]
			m.input = m.input[:len(m.input)-1]
			err = m.know(p)
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// visit marks what a live package needs: its content, and the packages to which some signer says that it refers.
func (m *marks) visit(p pir.PID) error {
	v, err := m.x.Get(index.BindingKey(p))
	if err == nil {
		var c cid.CID
		if c, err = cid.FromBytes(v); err == nil {
			err = m.root(c)
		}
	}
	if err != nil && !errors.Is(err, disk.ErrNotFound) {
		return err
	}
	for r, err := range m.x.Scan(index.Attestations.Key(p[:])) {
		if err != nil {
			return err
		}
		a, err := protocol.DecodeVerifiedAttestation(r.Value)
		if err != nil {
			return err
		}
		for _, ref := range a.Refs {
			m.pid(ref)
		}
	}
	m.input = append(m.input, p)
	return nil
}

// know marks the records of a package and of all packages from which it is built.
func (m *marks) know(p pir.PID) error {
	if m.known[p] {
		return nil
	}
	m.known[p] = true
	v, err := m.x.Get(index.PIRKey(p))
	if errors.Is(err, disk.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	canonical, _, err := index.DecodePIR(v)
	if err != nil {
		return err
	}
	description, err := pir.Decode(canonical)
	if err != nil {
		return nil //nolint:nilerr // a store holds whatever has the PID: such a package cannot be built
	}
	m.input = append(m.input, description.Inputs()...)
	return nil
}

// node visits a node: it marks the node and what it links to. A node that is not in the index is visited when it is marked again.
func (m *marks) node(c cid.CID) error {
	k := keyOf(nodeKind, c)
	if m.live[k] {
		return nil
	}
	n, err := m.blocks.Node(c)
	if err != nil {
		return disk.UnlessAbsent(err)
	}
	m.live[k] = true
	m.bound(c)
	var blob cid.CID
	if n.Kind == cid.KindFile {
		blob = disk.BlobOf(c, n)
		m.set(blobKey(blob))
	}
	for _, l := range n.Links {
		switch {
		case l.CID.Codec() == cid.DagPB:
			m.nodes = append(m.nodes, l.CID)
		case blob.Codec() == cid.Raw: // the leaf is the blob
		case n.Kind == cid.KindFile:
			err = m.leaf(l.CID, false)
		default:
			err = m.small(l.CID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// small marks a file of one leaf: its blob, or the part of another file that it is.
func (m *marks) small(c cid.CID) error {
	k := keyOf(rawKind, c)
	if m.has(k) {
		return nil
	}
	m.set(k)
	m.bound(c)
	if m.parts != nil && !m.parts[keyOf(leafKind, c)] {
		return nil
	}
	if _, err := m.blocks.BlobSize(c); err == nil || disk.UnlessAbsent(err) != nil {
		return err
	}
	return m.leaf(c, true)
}
