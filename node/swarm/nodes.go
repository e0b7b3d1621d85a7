package swarm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// maxDepth is how many nodes may lie on the way from the root to a leaf.
	maxDepth = 2048
	// maxLinks bounds the links of all nodes of a tree.
	maxLinks = 12_000_000
	// spareNodes is how many bytes of nodes a tree may have beyond the size of its files, and unsized without a known size.
	spareNodes, unsized = 64 << 20, 1 << 30
	// nodeWait is how long nobody may give a node that is wanted before another peer is asked as well.
	nodeWait = 700 * time.Millisecond
	// nodeTimeout is how long a peer may take beside the time that its nodes buy, at nodeRate bytes a second, if they are wanted.
	nodeTimeout, nodeRate = 20 * time.Second, 4 << 10
)

// errSlow says that a peer has used up its time for nodes. It may give leaves all the same: others may have been faster with the nodes.
var errSlow = errors.New("it is too slow about nodes")

// A frontier is the nodes that are wanted next: whose parents are here. Guarded by the fetch's mu.
type frontier struct {
	wanted map[cid.CID]int // depth
	seen   map[cid.CID]bool
	bytes  int64
	links  int
	last   time.Time // of the last node that was wanted
}

// bringNodes brings all nodes: from one peer, and from a second one when that takes long.
func (f *fetch) bringNodes(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	active := 0
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() {
		cancel()
		for active > 0 {
			f.cond.Wait()
		}
	}()
	f.nodes.seen = map[cid.CID]bool{}
	f.refresh()
	for len(f.nodes.wanted) > 0 {
		if active == 0 || time.Since(f.nodes.last) > nodeWait {
			h, err := f.next(ctx, active, func(h *holder) bool { return !h.tried })
			if err != nil {
				return err
			}
			if h != nil {
				active++
				f.nodes.last = time.Now()
				h.tried = true
				go func() {
					bring := f.nodesFrom
					if h.plain {
						bring = f.nodesByBitswap
					}
					err := bring(ctx, h.m)
					f.mu.Lock()
					defer f.mu.Unlock()
					active--
					if ctx.Err() != nil {
						err = nil
					}
					f.refresh()
					f.free(h, err)
				}()
				continue
			}
		}
		if f.err != nil {
			return f.err
		}
		f.cond.Wait()
	}
	return f.err
}

// refresh takes from the receiver what is wanted. f.mu is held.
func (f *fetch) refresh() {
	before := f.nodes.wanted
	f.nodes.wanted = map[cid.CID]int{}
	for _, c := range f.r.WantNodes() {
		f.nodes.wanted[c] = before[c]
		delete(before, c)
	}
	for c := range before { // here already, and still on its way from somebody perhaps
		f.nodes.seen[c] = true
	}
}

// nodesFrom asks one peer for all nodes.
func (f *fetch) nodesFrom(ctx context.Context, m *member) error {
	st, done, err := f.s.open(ctx, m.id, protocol.WantProtocol)
	if err != nil {
		return err
	}
	defer done()
	p := &paced{Stream: st, m: m, until: time.Now().Add(nodeTimeout), rate: nodeRate}
	r := bufio.NewReaderSize(p, 64<<10)
	var buf []byte
	for {
		f.mu.Lock()
		var roots [][]byte
		for c := range f.nodes.wanted {
			if len(roots) < protocol.MaxAsked {
				roots = append(roots, c.Bytes())
			}
		}
		before := f.nodes.bytes
		f.mu.Unlock()
		if len(roots) == 0 {
			return nil
		}
		if err := st.SetWriteDeadline(p.until); err != nil { // a peer may never read it
			return err
		}
		if err := protocol.WriteAsk(st, protocol.AskNodes, roots); err != nil {
			return err
		}
		given := map[cid.CID]bool{}
		missing := len(roots) // how many more nodes the peer can lack
		for ends := 0; ends < len(roots); {
			before := p.until
			e, b, err := protocol.ReadAnswer(r, buf, protocol.MaxBlock)
			if late(err) {
				return errSlow
			}
			if err != nil {
				return err
			}
			switch e {
			case protocol.End:
				ends++
			case protocol.Missing:
				if missing--; missing < 0 {
					return fmt.Errorf("it lacks more nodes than there are: %w", errLied)
				}
			case protocol.Plain:
				buf = b[:cap(b)]
				c := cid.Sum(cid.DagPB, b)
				if given[c] {
					return fmt.Errorf("node %s a second time in one answer: %w", c, errLied)
				}
				given[c] = true
				links, wanted, err := f.node(ctx, c, b)
				if err != nil {
					return err
				}
				missing += links
				if wanted {
					continue
				}
			}
			p.until = before
		}
		f.mu.Lock()
		f.refresh()
		nothing := f.nodes.bytes == before
		f.mu.Unlock()
		if nothing {
			return errPart
		}
		m.gave()
	}
}

// node takes a node that a peer gave, and returns how many nodes it links to and whether it was wanted. What is not wanted any more,
// as somebody else has given it, is dropped.
func (f *fetch) node(ctx context.Context, c cid.CID, b []byte) (links int, wanted bool, err error) {
	if f.s.down != nil {
		if err := f.s.down.WaitN(ctx, len(b)); err != nil {
			return 0, false, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	depth, wanted := f.nodes.wanted[c]
	if !wanted {
		if n, err := cid.Decode(b); err == nil && f.nodes.seen[c] {
			return nodeLinks(n), false, nil
		}
		return 0, false, fmt.Errorf("node %s was not asked for: %w", c, errLied)
	}
	delete(f.nodes.wanted, c)
	f.nodes.seen[c] = true
	n, err := f.put(b, c, depth)
	if err != nil {
		if f.err == nil {
			f.err = err
		}
		f.cond.Broadcast()
		return 0, true, err
	}
	for _, l := range n.Links {
		if l.CID.Codec() == cid.DagPB && !f.nodes.seen[l.CID] {
			if _, ok := f.nodes.wanted[l.CID]; !ok {
				f.nodes.wanted[l.CID] = depth + 1
			}
		}
	}
	f.gained()
	return nodeLinks(n), true, nil
}

// nodeLinks is how many links of a node lead to nodes.
func nodeLinks(n *cid.Node) (links int) {
	for _, l := range n.Links {
		if l.CID.Codec() == cid.DagPB {
			links++
		}
	}
	return links
}

// put gives a wanted node to the receiver. An error is one of the tree, or of the receiver, not of the peer. f.mu is held.
func (f *fetch) put(b []byte, c cid.CID, depth int) (*cid.Node, error) {
	n, err := cid.Decode(b)
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "fetch %s: %v", f.root, err).WithHint("the content was not made by nuka")
	}
	f.nodes.bytes += int64(len(b))
	f.nodes.links += len(n.Links)
	most := int64(unsized)
	if f.size > 0 {
		most = f.size + spareNodes
	}
	if depth > maxDepth || f.nodes.links > maxLinks || f.nodes.bytes > most {
		return nil, protocol.Errorf(protocol.Exhausted, "fetch %s: its tree is too deep or too large: %d nodes below one another, %d links, %d bytes of nodes",
			f.root, depth, f.nodes.links, f.nodes.bytes).WithHint("no package needs such a tree; do not trust who has signed it")
	}
	f.nodes.last = time.Now()
	if err := f.r.Put(cid.Block{CID: c, Data: b}); err != nil {
		for _, still := range f.r.WantNodes() {
			if still == c {
				return nil, fmt.Errorf("fetch %s: %w", f.root, err)
			}
		}
	}
	return n, nil
}
