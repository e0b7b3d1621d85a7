package fsmount

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// fetchRest is the time after a failed fetch during which files of the same package fail without another fetch.
const fetchRest = 5 * time.Second

// A core is what all connections of a daemon share. Methods may be called from many goroutines.
type core struct {
	ctx     context.Context // ends the work that no waiter can end
	store   Store
	slots   *slots
	trees   *treeCache
	fetch   func(ctx context.Context, p pir.PID, root cid.CID) error
	realize func(ctx context.Context, p pir.PID) error
	log     *slog.Logger
	busy    sync.WaitGroup // work that waiters may have left

	fetching singleflight.Group
	mu       sync.Mutex
	failed   map[pir.PID]time.Time // the last fetches that failed
	// complained has the files whose error is in the log.
	complained map[cid.CID]bool
	listed     []uint32 // the numbers of the slots in the last listing of the top, in order
}

var errCanceled = errors.New("the waiter was interrupted")

// patience is how long a waiter that was interrupted waits on, before it is asked whether it still needs the answer.
const patience = 200 * time.Millisecond

// A waiter is a program that waits for an answer. Any signal closes interrupted, also one that the program handles. gone reports whether the waiter
// needs no answer any more; it is asked after that, every now and then.
type waiter struct {
	interrupted <-chan struct{}
	gone        func() bool
}

// await returns what fn returns, or errCanceled when the waiter is gone. fn runs on then, and drop gets its result.
func await[T any](c *core, w waiter, fn func() (T, error), drop func(T)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done, left := make(chan result), make(chan struct{})
	c.busy.Go(func() {
		v, err := fn()
		select {
		case done <- result{v, err}:
		case <-left:
			if err == nil && drop != nil {
				drop(v)
			}
		}
	})
	select {
	case r := <-done:
		return r.v, r.err
	case <-w.interrupted:
	}
	for {
		select {
		case r := <-done:
			return r.v, r.err
		case <-time.After(patience):
			if w.gone() {
				close(left)
				var none T
				return none, errCanceled
			}
		}
	}
}

// lookup returns the number of the slot in which a PID is shown now, with its tree. cas.ErrNotFound.
func (c *core) lookup(p pir.PID) (uint32, *tree, error) {
	root, err := c.store.CID(p)
	if errors.Is(err, cas.ErrNotFound) && c.realize != nil {
		_, err, _ = c.fetching.Do("realize "+p.String(), func() (any, error) { return nil, c.realize(c.ctx, p) })
		if err == nil {
			root, err = c.store.CID(p)
		}
	}
	if err != nil {
		return noSlot, nil, err
	}
	t, err := c.trees.get(c.ctx, root)
	if err != nil {
		return noSlot, nil, err
	}
	n, err := c.slots.numbers(newSlot{slot{p, root}, t.entries[0].kind})
	if err != nil {
		return noSlot, nil, err
	}
	return n[0], t, nil
}

// open opens a file of a package. If the store's copy is missing or damaged, open has the package fetched.
func (c *core) open(s slot, file cid.CID) (*os.File, error) {
	f, err := c.store.OpenFile(c.ctx, file)
	if err == nil || !errors.Is(err, cas.ErrNotFound) && !errors.Is(err, cas.ErrDamaged) {
		return f, err
	}
	if c.fetch == nil || c.rests(s.pid) {
		return nil, err
	}
	_, ferr, _ := c.fetching.Do("fetch "+s.pid.String(), func() (any, error) {
		err := c.fetch(c.ctx, s.pid, s.cid)
		if err == nil {
			if f, err = c.store.OpenFile(c.ctx, file); err == nil {
				err = f.Close()
			}
		}
		if err != nil {
			c.rest(s.pid)
		}
		return nil, err
	})
	if ferr != nil {
		return nil, fmt.Errorf("fetch %s: %w", s.pid.Short(), ferr)
	}
	return c.store.OpenFile(c.ctx, file)
}

// rests reports whether a fetch of a package has failed just now.
func (c *core) rests(p pir.PID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.failed[p]) < fetchRest
}

func (c *core) rest(p pir.PID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, at := range c.failed {
		if time.Since(at) > fetchRest {
			delete(c.failed, p)
		}
	}
	c.failed[p] = time.Now()
}

// list returns the numbers of the slots of all packages, in order. With again it looks into the store; otherwise the list is that of the last time.
func (c *core) list(again bool) ([]uint32, error) {
	c.mu.Lock()
	last := c.listed
	c.mu.Unlock()
	if !again && last != nil {
		return last, nil
	}
	var all []newSlot
	for b, err := range c.store.Bindings() {
		if err != nil {
			return nil, err
		}
		v := newSlot{slot: slot{b.PID, b.CID}}
		if !c.slots.known(v.slot) {
			v.kind = c.rootKind(b.CID)
		}
		all = append(all, v)
	}
	numbers, err := c.slots.numbers(all...)
	if err != nil {
		return nil, err
	}
	slices.Sort(numbers)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listed = numbers
	return numbers, nil
}

// rootKind returns the kind of a tree's root, and 0 if the store cannot tell.
func (c *core) rootKind(root cid.CID) cas.Kind {
	for e, err := range c.store.Entries(c.ctx, root) {
		if err != nil {
			return 0
		}
		return e.Kind
	}
	return 0
}

// complain logs that a file cannot be opened, once.
func (c *core) complain(file cid.CID, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.complained[file] {
		c.complained[file] = true
		c.log.Error("a file of the mount cannot be opened", "file", file.String(), "error", err)
	}
}
