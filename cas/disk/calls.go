package disk

import "sync"

// Calls counts the running calls of a store, so that closing the store waits for them.
type Calls struct {
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

// Enter begins a call; the caller must call Leave if the error is nil. ErrClosed after Close.
func (c *Calls) Enter() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.running.Add(1)
	return nil
}

// Leave ends a call.
func (c *Calls) Leave() { c.running.Done() }

// Close refuses further calls and waits for the running ones. It returns false if Close was called before.
func (c *Calls) Close() (first bool) {
	c.mu.Lock()
	first = !c.closed
	c.closed = true
	c.mu.Unlock()
	if first {
		c.running.Wait()
	}
	return first
}
