package realize

import (
	"context"
	"sync"
)

// Slots are the job slots of this machine. A build takes one slot, and one more for each program beyond the first that it runs at the
// same time, as make and its jobserver do. So builds never run more programs than there are slots, and each build can continue with its own slot.
type Slots chan struct{}

// NewSlots returns n free slots, at least one.
func NewSlots(n int) Slots { return make(Slots, max(1, n)) }

// take returns a slot if one is free; see Take for release.
func (s Slots) take() (release func(), ok bool) {
	select {
	case s <- struct{}{}:
		return s.release(), true
	default:
		return nil, false
	}
}

// Take waits for a slot. The caller releases it once; releasing it again does nothing.
func (s Slots) Take(ctx context.Context) (release func(), err error) {
	select {
	case s <- struct{}{}:
		return s.release(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s Slots) release() func() { return sync.OnceFunc(func() { <-s }) }
