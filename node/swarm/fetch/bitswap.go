package fetch

import (
	"context"
	"errors"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir/cid"
)

// usualNode is the size, in bytes, that nodes of unknown size are taken to have.
const usualNode = 256 << 10

// nodesByBitswap fetches the nodes from a Bitswap-only peer.
func (f *Job) nodesByBitswap(ctx context.Context, p *routing.Peer) error {
	for {
		list, _ := f.someNodes()
		if len(list) == 0 {
			return nil
		}
		if err := f.Network.Blocks(ctx, p, list, usualNode, func(c cid.CID, data []byte) error {
			if data == nil {
				return errPart
			}
			p.AddReceived(len(data))
			_, _, err := f.node(ctx, c, data)
			return err
		}); err != nil {
			return err
		}
		f.mu.Lock()
		f.refresh()
		f.mu.Unlock()
	}
}

// leavesByBitswap fetches leaves from a Bitswap-only peer, one window after the other.
func (f *Job) leavesByBitswap(ctx context.Context, p *provider) error {
	w := f.begin(p, nil)
	defer func() {
		f.mu.Lock()
		f.leaves.leave(w)
		f.mu.Unlock()
	}()
	for {
		window := w.next()
		if window == nil {
			return w.err
		}
		received := map[cid.CID][]byte{}
		list := make([]cid.CID, len(window))
		largest := int64(0)
		for i, leaf := range window {
			list[i], largest = f.leaves.leaves[leaf].CID, max(largest, f.leaves.leaves[leaf].Size)
		}
		if largest == 0 {
			largest = cid.LeafSize // of a root that is a leaf
		}
		err := f.Network.Blocks(ctx, p.peer, list, largest, func(c cid.CID, data []byte) error {
			if data != nil {
				received[c] = data
				w.bytes.Add(int64(len(data)))
				p.peer.AddReceived(len(data))
			}
			return nil
		})
		if err != nil {
			return err
		}
		part := newBatch()
		for i, leaf := range window {
			data, ok := received[list[i]]
			begin := len(part.buf)
			part.buf = append(part.buf, data...)
			part.items = append(part.items, item{leaf: leaf, begin: begin, end: begin + len(data), missing: !ok})
			err = errors.Join(err, w.compare(part))
		}
		w.put(part)
		part.free()
		if err != nil {
			return err
		}
	}
}
