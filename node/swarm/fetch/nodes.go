package fetch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// maxDepth is how many nodes a path from the root to a leaf may have.
	maxDepth = 2048
	// maxLinks bounds the links of all nodes of a tree.
	maxLinks = 12_000_000
	// spareNodes is how many bytes of nodes a tree may have beyond the size of its files, and unsized how many if the size is unknown.
	spareNodes, unsized = 64 << 20, 1 << 30
	// nodeWait is after how long without a wanted node a second provider is asked.
	nodeWait = 700 * time.Millisecond
	// nodeTimeout is how long a provider may take beside the time that its wanted nodes buy, at nodeRate bytes a second.
	nodeTimeout, nodeRate = 20 * time.Second, 4 << 10
)

// errSlow says that a provider has used up its time for nodes. It may still send leaves: others may have been faster with the nodes.
var errSlow = errors.New("it is too slow about nodes")

// A frontier is the nodes that are wanted next: those whose parents are here. The job's mu guards it.
type frontier struct {
	wanted map[cid.CID]int // depth
	seen   map[cid.CID]bool
	bytes  int64
	links  int
	last   time.Time // of the last wanted node
}

// fetchNodes fetches all nodes: from one provider, and from a second one when that takes long.
func (f *Job) fetchNodes(ctx context.Context) error {
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
			p, err := f.next(ctx, active, func(p *provider) bool { return !p.tried })
			if err != nil {
				return err
			}
			if p != nil {
				active++
				f.nodes.last = time.Now()
				p.tried = true
				go func() {
					from := f.nodesFrom
					if p.bitswap {
						from = f.nodesByBitswap
					}
					err := from(ctx, p.peer)
					f.mu.Lock()
					defer f.mu.Unlock()
					active--
					if ctx.Err() != nil {
						err = nil
					}
					f.refresh()
					f.free(p, err)
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

// refresh takes the wanted nodes from the receiver. f.mu is held.
func (f *Job) refresh() {
	before := f.nodes.wanted
	f.nodes.wanted = map[cid.CID]int{}
	for _, c := range f.r.WantNodes() {
		f.nodes.wanted[c] = before[c]
		delete(before, c)
	}
	for c := range before { // it is here already, and may be in flight from another provider
		f.nodes.seen[c] = true
	}
}

// someNodes returns wanted nodes for one request, and how many bytes of nodes have arrived so far.
func (f *Job) someNodes() (list []cid.CID, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.nodes.wanted {
		if len(list) < protocol.MaxAsked {
			list = append(list, c)
		}
	}
	return list, f.nodes.bytes
}

// nodesFrom asks one provider for all nodes.
func (f *Job) nodesFrom(ctx context.Context, peer *routing.Peer) error {
	st, err := f.Network.Open(ctx, peer, protocol.WantProtocol)
	if err != nil {
		return err
	}
	defer st.Reset(0)
	p := &wire.Paced{Stream: st, Peer: peer, Until: time.Now().Add(nodeTimeout), Rate: nodeRate}
	r := bufio.NewReaderSize(p, 64<<10)
	var buf []byte
	for {
		list, before := f.someNodes()
		if len(list) == 0 {
			return nil
		}
		roots := make([][]byte, len(list))
		for i, c := range list {
			roots[i] = c.Bytes()
		}
		if err := st.SetWriteDeadline(p.Until); err != nil { // a peer may never read it
			return err
		}
		if err := protocol.WriteAsk(st, protocol.AskNodes, roots); err != nil {
			return err
		}
		if buf, err = f.readNodes(ctx, p, r, buf, len(roots)); err != nil {
			return err
		}
		f.mu.Lock()
		f.refresh()
		nothing := f.nodes.bytes == before
		f.mu.Unlock()
		if nothing {
			return errPart
		}
		peer.WasUseful()
	}
}

// readNodes reads the answers for so many roots into buf, which it returns and which may have grown. Bytes that were not wanted buy the
// provider no time.
func (f *Job) readNodes(ctx context.Context, p *wire.Paced, r *bufio.Reader, buf []byte, roots int) ([]byte, error) {
	given := map[cid.CID]bool{}
	missing := roots // how many more nodes the provider can lack
	for ends := 0; ends < roots; {
		before := p.Until
		e, b, err := protocol.ReadAnswer(r, buf, protocol.MaxBlock)
		if wire.Late(err) {
			return buf, errSlow
		}
		if err != nil {
			return buf, err
		}
		switch e {
		case protocol.End:
			ends++
		case protocol.Missing:
			if missing--; missing < 0 {
				return buf, fmt.Errorf("it reports more missing nodes than the tree can have: %w", routing.ErrLied)
			}
		case protocol.Plain:
			buf = b[:cap(b)]
			c := cid.Sum(cid.DagPB, b)
			if given[c] {
				return buf, fmt.Errorf("node %s a second time in one answer: %w", c, routing.ErrLied)
			}
			given[c] = true
			links, wanted, err := f.node(ctx, c, b)
			if err != nil {
				return buf, err
			}
			missing += links
			if wanted {
				continue
			}
		}
		p.Until = before
	}
	return buf, nil
}

// node takes a node from a provider, and returns how many nodes it links to and whether it was wanted. A node that another provider has
// sent in the meantime is dropped.
func (f *Job) node(ctx context.Context, c cid.CID, b []byte) (links int, wanted bool, err error) {
	if f.Down != nil {
		if err := f.Down.WaitN(ctx, len(b)); err != nil {
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
		return 0, false, fmt.Errorf("node %s was not asked for: %w", c, routing.ErrLied)
	}
	delete(f.nodes.wanted, c)
	f.nodes.seen[c] = true
	n, err := f.putNode(b, c, depth)
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

// putNode gives a wanted node to the receiver. An error is one of the tree, or of the receiver, and not the provider's fault. f.mu is held.
func (f *Job) putNode(b []byte, c cid.CID, depth int) (*cid.Node, error) {
	n, err := cid.Decode(b)
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "fetch %s: %w", f.root, err).WithHint("the content was not made by nuka")
	}
	f.nodes.bytes += int64(len(b))
	f.nodes.links += len(n.Links)
	most := int64(unsized)
	if f.size > 0 {
		most = f.size + spareNodes
	}
	if depth > maxDepth || f.nodes.links > maxLinks || f.nodes.bytes > most {
		return nil, protocol.Errorf(protocol.Exhausted, "fetch %s: its tree is too deep or too large: %d nodes below one another, %d links, %d bytes of nodes",
			f.root, depth, f.nodes.links, f.nodes.bytes).WithHint("no package needs such a tree; do not trust its signer")
	}
	f.nodes.last = time.Now()
	if err := f.r.Put(cid.Block{CID: c, Data: b}); err != nil && slices.Contains(f.r.WantNodes(), c) {
		return nil, fmt.Errorf("fetch %s: %w", f.root, err)
	}
	return n, nil
}
