package receive

import (
	"path/filepath"

	"github.com/MordragT/nuka/cas/block"
	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/pir/cid"
)

// Peers get blocks of a tree that is being received once no node is missing. From then on the places of blocks do not
// change, so they are read without mu, and calls that put blocks do not wait for readers.

// Append appends a block to buf as block.Store does.
// It returns nil if the block was not received so far or is damaged, or if the Receiving has ended.
func (r *Receiving) Append(buf []byte, c cid.CID, compare bool) []byte {
	if !r.planned.Load() {
		return nil
	}
	r.reading.RLock()
	defer r.reading.RUnlock()
	if r.gone {
		return nil
	}
	all, b, err := r.read(c, buf)
	if err != nil {
		r.s.Log.Debug("read a block that was received", "root", r.root, "block", c, "error", err)
		return nil
	}
	if b == nil || compare && cid.Sum(c.Codec(), b) != c {
		return nil // Finish, or the next Receive, finds the damage
	}
	return all
}

// read reads a block b to the end of buf, which becomes all; nil if it was not received. The caller holds reading.
func (r *Receiving) read(c cid.CID, buf []byte) (all, b []byte, err error) {
	if c.Codec() == cid.DagPB {
		p, ok := r.nodes[c.Digest()]
		if !ok || p.offset < 0 {
			return nil, nil, nil
		}
		all, b = block.Room(buf, int64(p.size))
		_, err = r.nodeLog.f.ReadAt(b, p.offset)
		return all, b, err
	}
	i, ok := r.byDigest[c.Digest()]
	if !ok || !r.isDone(i) {
		return nil, nil, nil
	}
	l := &r.leaves[i]
	var path string
	var offset int64
	switch {
	case l.own && l.placed:
		path = r.s.Dir.Blob(l.cid())
	case l.own:
		path = r.besidePath(l.cid())
	default:
		use := r.uses[l.uses]
		f := r.files[use.file]
		offset = int64(use.index) * cid.LeafSize
		if path = filepath.Join(r.dir, f.name()); f.named {
			path = r.s.Dir.Blob(f.blob)
		}
	}
	f, err := disk.OpenPlain(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	all, b = block.Room(buf, int64(l.size))
	_, err = f.ReadAt(b, offset)
	return all, b, err
}
