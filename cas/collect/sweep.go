package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/cas/lease"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

const (
	// batchSize is how many objects one batch removes. Leases, bindings and roots wait for one batch at most, without its sync.
	batchSize = 512
	// filesTogether is how many files are removed after one sync of the index, if the disk has room.
	filesTogether = 8192
	// settleRounds is how often a batch marks what was leased meanwhile before it stops others to mark the rest.
	settleRounds = 4
)

// sweep removes what is dead: names first, then trees from the top, then records. After each batch the store is closed under links:
// each object in the index has all objects that it needs.
func (r *run) sweep(ctx context.Context) (err error) {
	if r.Dir.CheckSpace() != nil && !r.Dir.DropBallast() {
		if err := r.makeRoom(ctx); err != nil {
			return err
		}
	}
	// If a crash cuts the sweep off, the next Open looks for files whose records are gone.
	marker := r.Dir.Path(disk.Tmp, disk.Imports, "collection")
	if err := r.Dir.Step(disk.StepCreate, marker); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(marker), 0o755); err != nil {
		return err
	}
	earlier := os.Mkdir(marker, 0o755)
	if earlier != nil && !errors.Is(earlier, fs.ErrExist) {
		return earlier
	}
	defer func() {
		if earlier != nil || err != nil && ctx.Err() == nil {
			return // an earlier collection, or this one, may have left files
		}
		if e := os.Remove(marker); err == nil {
			err = e
		}
		r.Dir.FillBallast()
	}()
	if err := r.markUsed(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{r.dropRoots, r.unbind, r.repoint, r.trees, r.damaged, r.forget} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := r.Index.Barrier(); err != nil {
		return err
	}
	return r.Dir.SyncNames(&r.folders) // so that no file comes back when the mark of the collection is gone
}

// makeRoom removes files of dead blobs before their records, because the index needs room to remove those, and the ballast is gone. If a crash
// follows at once, Verify reports these blobs as missing until the next collection.
func (r *run) makeRoom(ctx context.Context) error {
	blobs, err := r.dead(ctx, r.m)
	if err != nil {
		return err
	}
	return r.Leases.Alone(func(grown lease.Items) error {
		if err := r.m.items(ctx, grown); err != nil {
			return err
		}
		freed := int64(0)
		for _, b := range blobs {
			if freed >= disk.BallastSize || r.m.has(blobKey(b.name)) {
				continue
			}
			if err := r.Dir.Unplace([]cid.CID{b.name}, func(cid.CID) (bool, error) { return false, nil }); err != nil {
				return err
			}
			r.early += b.bytes
			freed += b.bytes
		}
		return nil
	})
}

// batch commits changes that fn makes. While fn runs, nothing is leased and no record of a package changes, and everything leased before is
// marked. The changes are visible when batch returns, and not yet durable.
func (r *run) batch(ctx context.Context, fn func(c *index.Changes) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for range settleRounds {
		grown := r.Leases.Grown()
		if grown.Empty() {
			break
		}
		if err := r.m.items(ctx, grown); err != nil {
			return err
		}
	}
	err := r.Leases.Alone(func(grown lease.Items) error {
		if err := r.m.items(context.WithoutCancel(ctx), grown); err != nil {
			return err
		}
		return r.Index.Update(index.Soon, fn)
	})
	if err == nil && r.o.Progress != nil {
		r.o.Progress(r.result)
	}
	return err
}

// batches calls fn for the keys of a table, and commits the changes of many calls together.
func (r *run) batches(ctx context.Context, t index.Table, fn func(c *index.Changes, k []byte) error) error {
	var keys [][]byte
	flush := func() error {
		list := keys
		keys = nil
		if len(list) == 0 {
			return nil
		}
		return r.batch(ctx, func(c *index.Changes) error {
			for _, k := range list {
				if err := fn(c, k); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for row, err := range r.Index.Scan(t.Key()) {
		if err != nil {
			return err
		}
		keys = append(keys, append([]byte(nil), row.Key...))
		if len(keys) < batchSize {
			continue
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return flush()
}

// get returns the value of a record, or nil.
func (r *run) get(k []byte) ([]byte, error) {
	v, err := r.Index.Get(k)
	if errors.Is(err, disk.ErrNotFound) {
		return nil, nil
	}
	return v, err
}

// dropRoots removes the roots of Options.Drop, and those that keep nothing and whose trees go.
func (r *run) dropRoots(ctx context.Context) error {
	err := r.batch(ctx, func(c *index.Changes) error {
		for _, name := range r.o.Drop {
			if ok, err := r.Index.Has(index.RootKey(name)); err != nil {
				return err
			} else if ok {
				c.Delete(index.RootKey(name))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.batches(ctx, index.Roots, func(c *index.Changes, k []byte) error {
		if r.keeps(string(k[1:])) {
			return nil
		}
		v, err := r.get(k)
		if v == nil || err != nil {
			return err
		}
		root, err := index.DecodeRoot(v)
		if err == nil && r.isDead(root.PID, root.CID) {
			c.Delete(k)
		}
		return err
	})
}

// unbind removes the bindings of packages whose content goes.
func (r *run) unbind(ctx context.Context) error {
	return r.batches(ctx, index.Bindings, func(c *index.Changes, k []byte) error {
		v, err := r.get(k)
		if v == nil || err != nil {
			return err
		}
		content, err := cid.FromBytes(v)
		p := pir.PID(k[1:])
		if err != nil || !r.isDead(p, content) {
			return err
		}
		c.Delete(k)
		c.Delete(index.BinderKey(content, p))
		r.result.gone(p)
		return nil
	})
}

// damaged removes the records that dead blobs were set aside.
func (r *run) damaged(ctx context.Context) error {
	return r.batches(ctx, index.Damaged, func(c *index.Changes, k []byte) error {
		blob, err := cid.FromBytes(k[1:])
		if err == nil && !r.m.has(blobKey(blob)) {
			c.Delete(k)
		}
		return err
	})
}

// forget removes the records of packages that neither are live nor are needed to build a live one.
func (r *run) forget(ctx context.Context) error {
	for _, t := range []index.Table{index.Attestations, index.PIRs, index.Uses} {
		err := r.batches(ctx, t, func(c *index.Changes, k []byte) error {
			if r.m.known[pir.PID(k[1:33])] {
				return nil
			}
			if ok, err := r.Index.Has(index.BindingKey(pir.PID(k[1:33]))); ok || err != nil {
				return err // bound meanwhile
			}
			c.Delete(k)
			if t != index.Uses {
				r.result.Records++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// removeFiles removes the files of blobs whose records are gone, after that is durable.
func (r *run) removeFiles(blobs []deadBlob) error {
	if len(blobs) == 0 {
		return nil
	}
	if err := r.Index.Barrier(); err != nil {
		return fmt.Errorf("make the removal durable: %w", err)
	}
	names := make([]cid.CID, len(blobs))
	for i, b := range blobs {
		r.folders.Note(r.Dir.Blob(b.name))
		names[i] = b.name
		r.Dir.Forget(b.name)
	}
	if err := r.Dir.Step(disk.StepRemove, r.Dir.Path(disk.Blobs)); err != nil {
		return err
	}
	if err := r.Dir.Unplace(names, r.Blocks.Indexed); err != nil {
		return err
	}
	for _, b := range blobs {
		r.result.Blobs++
		r.result.Bytes += b.bytes
	}
	r.result.Bytes += r.early
	r.early = 0
	return nil
}
