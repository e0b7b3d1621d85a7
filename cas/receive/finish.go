package receive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir/cid"
)

// Finish makes the tree part of the store: when it returns nil, the whole tree is on disk and survives a power cut,
// and the Receiving has ended; otherwise none of it is in the store. The same is true of the root of Options.RootName.
// It is an error if a block is still missing. After an error of the disk it may be called again.
func (r *Receiving) Finish(ctx context.Context) error {
	if err := r.s.Calls.Enter(); err != nil {
		return fmt.Errorf("finish receiving %s: %w", r.root, err)
	}
	defer r.s.Calls.Leave()
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
		if err := s.Dir.CheckSpace(); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r.after.Keep(r.root)
	if r.made || r.rootName != "" {
		if err := s.Dir.Naming(r.nameAndCommit); err != nil {
			return err
		}
	}
	after := keep
	if r.made {
		after = func() error { return s.removeFolder(r.dir) }
	}
	if err := r.end(disk.ErrClosed, after); err != nil {
		s.Log.Warn("temporary files are left over", "path", r.dir, "error", err)
	}
	return nil
}

// nameAndCommit gives the files their final names and commits the tree.
func (r *Receiving) nameAndCommit() error {
	c := r.s.Index.Change()
	var recording errgroup.Group // while the disk works
	recording.Go(func() error { return r.record(c) })
	if err := errors.Join(r.name(), recording.Wait()); err != nil {
		c.Discard()
		return err
	}
	err := r.s.Index.Commit(c, index.Durable)
	if err == nil {
		r.room.Keep()
	}
	return err
}

// record puts the records of the tree into c.
func (r *Receiving) record(c *index.Changes) error {
	if r.rootName != "" {
		v, err := index.Root{CID: r.root, Created: time.Now()}.Encode()
		if err != nil {
			return err
		}
		c.Set(index.RootKey(r.rootName), v) // first: a torn journal has no part of the tree without the root
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
		c.Set(index.NodeKey(id), b)
	}
	for blob, leaves := range r.present {
		c.SetFile(blob, leaves, nil)
	}
	for i := range r.leaves {
		l := &r.leaves[i]
		if !l.own {
			continue
		}
		c.Set(index.BlobKey(l.cid()), index.EncodeSize(int64(l.size)))
		if l.damaged {
			c.Delete(index.DamagedKey(l.cid()))
		}
	}
	for _, f := range r.files {
		c.Set(index.BlobKey(f.blob), index.EncodeSize(f.size))
		c.Delete(index.DamagedKey(f.blob))
		for j, i := range f.leaves {
			place := index.Place{Blob: f.blob, Offset: int64(j) * cid.LeafSize, Size: f.leafSize(j)}
			c.Set(index.LeafKey(r.leaves[i].cid()), place.Encode())
		}
	}
	return nil
}

// name makes the bytes of all files durable, gives them their names and makes those durable.
func (r *Receiving) name() error {
	s := r.s
	var paths []string
	add := func(path string) {
		if len(paths) <= disk.FewFiles { // one more and all are synced together
			paths = append(paths, path)
		}
	}
	for i := range r.leaves {
		l := &r.leaves[i]
		switch {
		case l.own && l.placed:
			add(s.Dir.Blob(l.cid()))
		case l.own:
			add(r.besidePath(l.cid()))
		}
	}
	for _, f := range r.files {
		if f.named {
			add(s.Dir.Blob(f.blob))
		} else {
			add(filepath.Join(r.dir, f.name()))
		}
	}
	if len(paths) == 0 {
		return nil
	}
	if err := s.Dir.SyncFiles(r.dir, paths); err != nil {
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
	return s.Dir.SyncNames(&r.folders)
}

// rename gives all files their final names.
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
		if err := r.s.Dir.Rename(part, f.blob, &r.folders); err != nil {
			return err
		}
		f.named = true
	}
	for i := range r.leaves {
		if l := &r.leaves[i]; l.own && !l.placed {
			if err := r.s.Dir.Rename(r.besidePath(l.cid()), l.cid(), &r.folders); err != nil {
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
