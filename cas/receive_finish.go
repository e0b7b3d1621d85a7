package cas

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/pir/cid"
)

// Finish makes the tree part of the store: when it returns nil, the whole tree is on disk and survives a power cut,
// and the Receiving has ended; otherwise none of it is in the store. The same is true of its root, if there is to be one.
// It is an error when something is still missing. After an error of the disk it may be called again.
func (r *Receiving) Finish(ctx context.Context) error {
	if err := r.s.enter(); err != nil {
		return fmt.Errorf("finish receiving %s: %w", r.root, err)
	}
	defer r.s.leave()
	r.life.Lock()
	defer r.life.Unlock()
	err := r.ended
	if err == nil {
		err = r.finish(ctx)
	}
	if err != nil {
		return fmt.Errorf("finish receiving %s: %w", r.root, r.judge(err))
	}
	return nil
}

func (r *Receiving) finish(ctx context.Context) error {
	s := r.s
	if !r.planned.Load() {
		return fmt.Errorf("%d nodes are missing, and what is below them", r.missing)
	}
	if r.left > 0 {
		return fmt.Errorf("%d leaves are missing", r.left)
	}
	if r.made {
		if err := s.checkSpace(); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.made || r.rootName != "" {
		s.placeMu.RLock()
		defer s.placeMu.RUnlock()
		c := s.change()
		var recording errgroup.Group // while the disk works
		recording.Go(func() error { return r.record(c) })
		if err := errors.Join(r.name(), recording.Wait()); err != nil {
			c.b.Close() //nolint:errcheck // memory
			return err
		}
		if err := s.commit(c, durable); err != nil {
			return err
		}
	}
	made := r.made
	if err := r.end(ErrClosed); err != nil {
		s.log.Warn("close what was received", "root", r.root, "error", err)
	}
	if !made {
		return nil
	}
	if err := s.removeReceived(r.dir); err != nil {
		s.log.Warn("temporary files are left over", "path", r.dir, "error", err)
	}
	return nil
}

// record puts everything that the index must know into c.
func (r *Receiving) record(c *changes) error {
	if r.rootName != "" {
		root := Root{Name: r.rootName, CID: r.root, Created: time.Now()}
		v, err := root.encode()
		if err != nil {
			return err
		}
		c.set(key(keyRoot, []byte(r.rootName)), v) // first: what a torn journal has of the tree is not without it
	}
	for digest, p := range r.nodes {
		if p.offset < 0 {
			continue
		}
		id, err := cid.New(cid.DagPB, digest)
		if err != nil {
			return err
		}
		_, b, err := r.node(id)
		if err != nil {
			return err
		}
		c.set(digestKey(keyNode, digest), b)
	}
	for i := range r.leaves {
		l := &r.leaves[i]
		if !l.own {
			continue
		}
		c.set(blobKey(keyBlob, l.cid()), encodeSize(int64(l.size)))
		if l.damaged {
			c.del(blobKey(keyDamaged, l.cid()))
		}
	}
	for _, f := range r.files {
		c.set(blobKey(keyBlob, f.blob), encodeSize(f.size))
		c.del(blobKey(keyDamaged, f.blob))
		for j, i := range f.leaves {
			c.set(digestKey(keyLeaf, r.leaves[i].digest), leafPlace{f.blob, int64(j) * cid.LeafSize, f.leafSize(j)}.encode())
		}
	}
	return nil
}

// name makes the bytes of all files durable, gives them their names and makes those durable.
func (r *Receiving) name() error {
	s := r.s
	var paths []string
	add := func(path string) {
		if len(paths) <= fewFiles { // one more and all are synced together
			paths = append(paths, path)
		}
	}
	for i := range r.leaves {
		l := &r.leaves[i]
		switch {
		case l.own && l.placed:
			add(s.blobPath(l.cid()))
		case l.own:
			add(r.besidePath(l.cid()))
		}
	}
	for _, f := range r.files {
		if f.named {
			add(s.blobPath(f.blob))
		} else {
			add(filepath.Join(r.dir, f.name()))
		}
	}
	if len(paths) == 0 {
		return nil
	}
	if err := s.step(StepSync, r.dir); err != nil {
		return err
	}
	if err := syncPaths(s.dir, paths); err != nil {
		return err
	}
	for _, f := range r.files {
		if f.named {
			continue
		}
		if err := r.logPlaced(f.blob); err != nil {
			return err
		}
	}
	if err := r.placed.flush(); err != nil {
		return err
	}
	if err := r.rename(); err != nil {
		return err
	}
	if err := r.placed.flush(); err != nil {
		return err
	}
	return s.syncNames(r.folders.list())
}

// rename gives all files that have none their final names.
func (r *Receiving) rename() error {
	r.reading.Lock()
	defer r.reading.Unlock()
	for _, f := range r.files {
		if f.named {
			continue
		}
		part := filepath.Join(r.dir, f.name())
		if err := os.Chmod(part, 0o444); err != nil {
			return err
		}
		if err := r.renameOne(part, r.s.blobPath(f.blob)); err != nil {
			return err
		}
		f.named = true
	}
	for i := range r.leaves {
		if l := &r.leaves[i]; l.own && !l.placed {
			if err := r.renameOne(r.besidePath(l.cid()), r.s.blobPath(l.cid())); err != nil {
				return err
			}
			l.placed = true
			if err := r.logPlaced(l.cid()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Receiving) renameOne(from, to string) error {
	if err := r.folders.make(filepath.Dir(to)); err != nil {
		return err
	}
	if err := r.s.step(StepRename, to); err != nil {
		return err
	}
	return renameFile(from, to)
}
