package realize

import (
	"context"
	"sync"
)

// Slots are the places for work on this machine: a build takes one, and one more for each program beyond the first that it runs at the
// same time, as make and its jobserver do. So there are never more programs of builds than slots, and each build can go on with its own.
type Slots chan struct{}

// NewSlots returns n free slots, at least one.
func NewSlots(n int) Slots { return make(Slots, max(1, n)) }

// take returns a slot if one is free. The caller releases it once; releasing it again does nothing.
func (s Slots) take() (release func(), ok bool) {
	select {
	case s <- struct{}{}:
		return sync.OnceFunc(func() { <-s }), true
	default:
		return nil, false
	}
}

// Take waits for a slot. The caller releases it once; releasing it again does nothing.
func (s Slots) Take(ctx context.Context) (release func(), err error) {
	select {
	case s <- struct{}{}:
		return sync.OnceFunc(func() { <-s }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
