package cas

import (
	"path/filepath"

	"github.com/MordragT/nuka/pir/cid"
)

// Blocks of a tree that is being received are given on from when all its nodes are here: what says where they are, and that
// it is a tree, does not change from then on and is read without mu, so nobody who puts blocks waits for readers.

// live returns the Receivings that have not ended.
func (s *Store) live() []*Receiving {
	s.receivingMu.Lock()
	defer s.receivingMu.Unlock()
	if len(s.receiving) == 0 {
		return nil
	}
	list := make([]*Receiving, 0, len(s.receiving))
	for _, r := range s.receiving {
		list = append(list, r)
	}
	return list
}

// block returns buf with a block behind it that has come; nil: it has not, is damaged, or the Receiving has ended.
func (r *Receiving) block(c cid.CID, buf []byte, compare bool) []byte {
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
		r.s.log.Debug("read a block that was received", "root", r.root, "block", c, "error", err)
		return nil
	}
	if b == nil || compare && cid.Sum(c.Codec(), b) != c {
		return nil // Finish, or the next Receive, finds out what is wrong
	}
	return all
}

// read reads a block b from where it is to the end of buf, which becomes all; nil: it is nowhere. The caller holds reading.
func (r *Receiving) read(c cid.CID, buf []byte) (all, b []byte, err error) {
	if c.Codec() == cid.DagPB {
		p, ok := r.nodes[c.Digest()]
		if !ok || p.offset < 0 {
			return nil, nil, nil
		}
		all, b = room(buf, int64(p.size))
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
		path = r.s.blobPath(l.cid())
	case l.own:
		path = r.besidePath(l.cid())
	default:
		use := r.uses[l.uses]
		f := r.files[use.file]
		offset = int64(use.index) * cid.LeafSize
		if path = filepath.Join(r.dir, f.name()); f.named {
			path = r.s.blobPath(f.blob)
		}
	}
	f, err := openPlain(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	all, b = room(buf, int64(l.size))
	_, err = f.ReadAt(b, offset)
	return all, b, err
}
