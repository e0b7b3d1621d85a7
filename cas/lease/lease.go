// Package lease is the leases of a store: what running work keeps from collection.
//
// A Lease keeps content by CID and packages by PID, in memory, until it is released. A Registry has the leases of one store and tells a
// collection which objects are leased, also those that are leased while it runs.
package lease

import (
	"iter"
	"sync"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// Items are objects that are kept.
type Items struct {
	CIDs []cid.CID
	PIDs []pir.PID
}

// Empty says whether there are none.
func (i Items) Empty() bool { return len(i.CIDs)+len(i.PIDs) == 0 }

func (i *Items) add(cids []cid.CID, pids []pir.PID) {
	i.CIDs = append(i.CIDs, cids...)
	i.PIDs = append(i.PIDs, pids...)
}

// A Registry has the leases of one store. Its zero value is ready for use. Methods may be called from many goroutines.
type Registry struct {
	// mu is read-locked by Keep and locked by Alone: so no object is leased while a collection removes some.
	mu         sync.RWMutex
	collecting bool

	listMu sync.Mutex // guards all and grown; it is taken after mu
	all    map[*Lease]struct{}
	grown  Items // leased since Begin, or since Grown was called
}

// A Lease keeps objects until it is released. A nil Lease keeps nothing. Methods may be called from many goroutines.
type Lease struct {
	r    *Registry
	what string

	mu    sync.Mutex
	items Items
}

// New returns a lease without objects. what says for people who holds it. The caller calls Release.
func (r *Registry) New(what string) *Lease {
	l := &Lease{r: r, what: what}
	r.listMu.Lock()
	defer r.listMu.Unlock()
	if r.all == nil {
		r.all = map[*Lease]struct{}{}
	}
	r.all[l] = struct{}{}
	return l
}

// What says who holds the lease.
func (l *Lease) What() string { return l.what }

// Keep keeps trees and blocks: what the store has of them when Keep returns, it has until the lease is released.
// So Keep comes before the look whether the store has an object. An object that is not in the store may be kept: it stays once it is there.
func (l *Lease) Keep(cids ...cid.CID) { l.keep(cids, nil) }

// KeepPIDs keeps the content of packages as Keep does, with their records and the packages that they refer to.
func (l *Lease) KeepPIDs(pids ...pir.PID) { l.keep(nil, pids) }

func (l *Lease) keep(cids []cid.CID, pids []pir.PID) {
	if l == nil {
		return
	}
	l.r.mu.RLock()
	defer l.r.mu.RUnlock()
	l.mu.Lock()
	l.items.add(cids, pids)
	l.mu.Unlock()
	if l.r.collecting {
		l.r.listMu.Lock()
		l.r.grown.add(cids, pids)
		l.r.listMu.Unlock()
	}
}

// Release ends the lease. A collection that runs keeps its objects all the same. Releasing twice does nothing.
func (l *Lease) Release() {
	if l == nil {
		return
	}
	l.r.listMu.Lock()
	defer l.r.listMu.Unlock()
	delete(l.r.all, l)
}

// Items returns the objects that the lease keeps.
func (l *Lease) Items() Items {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out Items
	out.add(l.items.CIDs, l.items.PIDs)
	return out
}

// Each yields the leases that are held.
func (r *Registry) Each() iter.Seq[*Lease] {
	r.listMu.Lock()
	list := make([]*Lease, 0, len(r.all))
	for l := range r.all {
		list = append(list, l)
	}
	r.listMu.Unlock()
	return func(yield func(*Lease) bool) {
		for _, l := range list {
			if !yield(l) {
				return
			}
		}
	}
}

// Begin begins a collection: it returns everything that is leased, and Grown tells what is leased from now on. No two collections may run.
func (r *Registry) Begin() Items {
	r.mu.Lock()
	r.collecting = true
	r.mu.Unlock()
	var all Items
	for l := range r.Each() {
		items := l.Items()
		all.add(items.CIDs, items.PIDs)
	}
	return all
}

// End ends a collection.
func (r *Registry) End() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.collecting = false
	r.takeGrown()
}

// Grown returns what was leased since it was last called.
func (r *Registry) Grown() Items {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.takeGrown()
}

func (r *Registry) takeGrown() Items {
	r.listMu.Lock()
	defer r.listMu.Unlock()
	g := r.grown
	r.grown = Items{}
	return g
}

// Alone calls fn with what Grown would return. Nothing is leased while fn runs, so it must be short.
func (r *Registry) Alone(fn func(grown Items) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fn(r.takeGrown())
}
