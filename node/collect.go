package node

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/sharing"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// A Mount is the set of operations that a collection needs of what shows the store's packages as files. Both may be nil.
type Mount struct {
	// Held returns those of a list of packages that have open files.
	Held func(list []pir.PID) []pir.PID
	// Gone notes that the content of packages was removed.
	Gone func(pids []pir.PID)
}

// keepForCaller returns a lease that ends with the caller's connection. It is nil if the caller has none.
func (h *handler) keepForCaller(r *request, what string) *cas.Lease {
	if r.Conn == nil {
		return nil
	}
	lease := h.store.Lease(what)
	context.AfterFunc(r.Conn, lease.Release)
	return lease
}

// collect answers OpCollect.
func (h *handler) collect(ctx context.Context, r *request, a protocol.CollectArgs) (*protocol.Collection, error) {
	if a.Max < 0 || a.Recent < 0 || a.Generations < 0 {
		return nil, protocol.Errorf(protocol.Invalid, "collect: a negative size, time or number")
	}
	drop, err := h.oldGenerations(a.Generations, a.Current)
	if err != nil {
		return nil, err
	}
	o := &cas.CollectOptions{DryRun: a.DryRun, Max: a.Max, Drop: drop}
	if a.Recent > 0 {
		o.Recent = time.Now().Add(-a.Recent)
	}
	o.Progress = func(done cas.Collected) {
		r.Event(protocol.Event{Kind: protocol.EventProgress, Name: "collection", Done: done.Bytes})
	}
	got, err := h.runCollection(ctx, o)
	if err != nil {
		return nil, err
	}
	out := &protocol.Collection{Packages: got.Packages, Files: got.Blobs, Bytes: got.Bytes, Records: got.Records, Roots: drop, Gone: []protocol.Found{}}
	for _, p := range protocol.SortRefs(got.Gone) {
		out.Gone = append(out.Gone, h.found(p))
	}
	return out, nil
}

// reconnectTime is how long after its start the node removes nothing. Programs that ran with an earlier node of the home connect within that
// time, and keep their packages again.
const reconnectTime = 3 * time.Second

// runCollection collects by the node's rules: packages shared by name stay, and so do those with open files.
func (h *handler) runCollection(ctx context.Context, o *cas.CollectOptions) (cas.Collected, error) {
	if wait := time.Until(h.started.Add(reconnectTime)); !o.DryRun && wait > 0 {
		select {
		case <-ctx.Done():
			return cas.Collected{}, ctx.Err()
		case <-time.After(wait):
		}
	}
	o.Keeps = func(root string) bool { return !sharing.IsMark(root) }
	o.InUse = h.mount.Held
	got, err := h.store.Collect(ctx, o)
	if !o.DryRun && h.mount.Gone != nil && len(got.Gone) > 0 {
		h.mount.Gone(got.Gone)
	}
	switch {
	case errors.Is(err, cas.ErrCollecting):
		return got, protocol.Errorf(protocol.Busy, "%w", err).WithHint("wait until it has ended")
	case errors.Is(err, syscall.ENOSPC):
		return got, protocol.Errorf(protocol.Exhausted, "%w", err).WithHint("remove a file of another program from the disk, and try again")
	}
	return got, cas.Coded(err)
}

// oldGenerations returns the roots of generations but the newest n of each profile, and those named in current; none if n is 0.
func (h *handler) oldGenerations(n int, current []string) ([]string, error) {
	drop := []string{}
	if n == 0 {
		return drop, nil
	}
	type generation struct {
		number int
		roots  []string // its own, profile/NAME/NUMBER, and those of its packages below that
	}
	profiles := map[string][]generation{}
	for r, err := range h.store.Roots() {
		if err != nil {
			return nil, err
		}
		rest, ok := strings.CutPrefix(r.Name, protocol.RootProfile)
		name, below, _ := strings.Cut(rest, "/")
		text, _, _ := strings.Cut(below, "/")
		number, err := strconv.Atoi(text)
		if !ok || err != nil {
			continue
		}
		i := slices.IndexFunc(profiles[name], func(g generation) bool { return g.number == number })
		if i < 0 {
			i = len(profiles[name])
			profiles[name] = append(profiles[name], generation{number: number})
		}
		profiles[name][i].roots = append(profiles[name][i].roots, r.Name)
	}
	for name, list := range profiles {
		slices.SortFunc(list, func(a, b generation) int { return a.number - b.number })
		for _, g := range list[:max(0, len(list)-n)] {
			if !slices.Contains(current, protocol.RootProfile+name+"/"+strconv.Itoa(g.number)) {
				drop = append(drop, g.roots...)
			}
		}
	}
	slices.Sort(drop)
	return drop, nil
}

// found describes a package.
func (h *handler) found(p pir.PID) protocol.Found {
	f := protocol.Found{PID: p}
	canonical, _, err := h.store.PIR(p)
	if err != nil {
		return f
	}
	if d, err := pir.Decode(canonical); err == nil {
		f.Kind, f.Name = d.Kind, strings.TrimSpace(d.Name+" "+d.Version)
	}
	return f
}
