package collect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/MordragT/nuka/cas/block"
	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/cas/lease"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// ErrCollecting says that another collection runs.
var ErrCollecting = errors.New("another collection is running")

// Options change one collection. Nil is all zero.
type Options struct {
	// DryRun removes nothing and returns what the collection would remove.
	DryRun bool
	// Max is how many bytes to free, from the packages that were used least recently on; 0 frees all that can be freed.
	Max int64
	// Recent keeps packages that were used since then; zero keeps none for that.
	Recent time.Time
	// Drop names roots that are removed first.
	Drop []string
	// Keeps says whether a root keeps its tree. Other roots are removed together with their trees. Nil: all roots keep theirs.
	Keeps func(name string) bool
	// InUse returns those of a list of packages that are in use, such as those with open files. It is called twice, each time with those that would go; nil: none is.
	InUse func(list []pir.PID) []pir.PID
	// Progress is called after each batch with what was removed so far. It must return soon. Nil: no calls.
	Progress func(Result)
}

// A Result says what a collection has removed, or would remove.
type Result struct {
	Packages int   // whose content was removed
	Blobs    int   // files
	Bytes    int64 // room on the disk that the blobs took; a blob with another hard link takes none
	Records  int   // descriptions and attestations
	// Gone are the packages whose content was removed, in no order.
	Gone []pir.PID
}

// A Collector collects one store. Methods may be called from many goroutines; one collection runs at a time.
type Collector struct {
	Dir    *disk.Dir
	Index  *index.Index
	Blocks *block.Store
	Leases *lease.Registry

	running sync.Mutex
}

// Run collects. When it returns an error, or ctx ends, what it has removed so far is in the result, and the store is as whole as before.
func (c *Collector) Run(ctx context.Context, o *Options) (Result, error) {
	if o == nil {
		o = &Options{}
	}
	if !c.running.TryLock() {
		return Result{}, ErrCollecting
	}
	defer c.running.Unlock()
	r := &run{Collector: c, o: o}
	leased := c.Leases.Begin()
	defer c.Leases.End()
	if err := r.mark(ctx, leased); err != nil {
		return Result{}, fmt.Errorf("find what is live: %w", err)
	}
	err := r.look(ctx)
	if err == nil && !o.DryRun {
		err = r.sweep(ctx)
	}
	return r.result, err
}

// A run is one collection.
type run struct {
	*Collector
	o        *Options
	m        *marks
	packages []pir.PID    // that have content
	folders  disk.Folders // from which files were removed
	early    int64        // bytes of blobs whose files are gone and whose records are not
	result   Result
}

// mark marks what is live.
func (r *run) mark(ctx context.Context, leased lease.Items) error {
	binders := map[cid.CID][]pir.PID{}
	for row, err := range r.Index.Scan(index.Bindings.Key()) {
		if err != nil {
			return err
		}
		content, err := cid.FromBytes(row.Value)
		if err != nil {
			return err
		}
		binders[content] = append(binders[content], pir.PID(row.Key[1:]))
	}
	r.m = newMarks(r.Index, r.Blocks, binders)
	if err := r.m.findParts(); err != nil {
		return err
	}
	defer func() { r.m.parts = nil }()
	if err := r.roots(r.m); err != nil {
		return err
	}
	if err := r.m.items(ctx, leased); err != nil {
		return err
	}
	used, err := r.lastUses(binders)
	if err != nil {
		return err
	}
	for p, at := range used {
		if !r.o.Recent.IsZero() && !at.Before(r.o.Recent) {
			r.m.pid(p)
		}
	}
	if err := r.m.drain(ctx); err != nil {
		return err
	}
	for _, list := range binders {
		r.packages = append(r.packages, list...)
	}
	if err := r.markUsed(ctx); err != nil {
		return err
	}
	if r.o.Max > 0 {
		return r.spare(ctx, binders, used)
	}
	return nil
}

// markUsed marks those packages that would go, and are in use.
func (r *run) markUsed(ctx context.Context) error {
	if r.o.InUse == nil {
		return nil
	}
	var list []pir.PID
	for _, p := range r.packages {
		if !r.m.pids[p] {
			list = append(list, p)
		}
	}
	for _, p := range r.o.InUse(list) {
		r.m.pid(p)
	}
	return r.m.drain(ctx)
}

// roots marks the roots.
func (r *run) roots(m *marks) error {
	for row, err := range r.Index.Scan(index.Roots.Key()) {
		if err != nil {
			return err
		}
		root, err := index.DecodeRoot(row.Value)
		if err != nil {
			return err
		}
		if name := string(row.Key[1:]); slices.Contains(r.o.Drop, name) || !r.keeps(name) {
			continue
		}
		if err := m.root(root.CID); err != nil {
			return err
		}
		m.pid(root.PID)
	}
	return nil
}

func (r *run) keeps(root string) bool { return r.o.Keeps == nil || r.o.Keeps(root) }

// lastUses returns the last use of each package that has content: the beginning of a day, or zero if none is known.
func (r *run) lastUses(binders map[cid.CID][]pir.PID) (map[pir.PID]time.Time, error) {
	used := map[pir.PID]time.Time{}
	if r.o.Recent.IsZero() && r.o.Max == 0 {
		return used, nil
	}
	for _, list := range binders {
		for _, p := range list {
			used[p] = time.Time{}
		}
	}
	for row, err := range r.Index.Scan(index.Uses.Key()) {
		if err != nil {
			return nil, err
		}
		p := pir.PID(row.Key[1:])
		if _, ok := used[p]; !ok {
			continue
		}
		if used[p], err = index.DecodeUse(row.Value); err != nil {
			return nil, err
		}
	}
	return used, nil
}
