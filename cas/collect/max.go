package collect

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// A group is a dead package, with what it alone and less recently used packages need.
type group struct {
	pid   pir.PID
	bytes int64
}

// spare marks the dead packages that need not go to free Options.Max: the most recently used ones.
func (r *run) spare(ctx context.Context, binders map[cid.CID][]pir.PID, used map[pir.PID]time.Time) error {
	var groups []group
	for p := range used {
		if !r.m.pids[p] {
			groups = append(groups, group{pid: p})
		}
	}
	slices.SortFunc(groups, func(a, b group) int {
		if c := used[b.pid].Compare(used[a.pid]); c != 0 {
			return c
		}
		return bytes.Compare(a.pid[:], b.pid[:])
	})
	// What would the room be if the groups were marked one by one?
	scratch := newMarks(r.Index, r.Blocks, binders)
	scratch.parts = r.m.parts
	maps.Copy(scratch.live, r.m.live)
	maps.Copy(scratch.pids, r.m.pids)
	left, err := r.dead(ctx, scratch)
	if err != nil {
		return err
	}
	sizes := map[key]int64{}
	total := int64(0)
	for _, b := range left {
		sizes[blobKey(b.name)] = b.bytes
		total += b.bytes
	}
	for i := range groups {
		scratch.fresh = func(k key) { groups[i].bytes += sizes[k] }
		scratch.pid(groups[i].pid)
		if err := scratch.drain(ctx); err != nil {
			return err
		}
		total -= groups[i].bytes
	}
	// total is now what no package needs.
	for i := len(groups) - 1; i >= 0 && total < r.o.Max; i-- {
		total += groups[i].bytes
		groups = groups[:i]
	}
	for _, g := range groups {
		r.m.pid(g.pid)
	}
	return r.m.drain(ctx)
}
