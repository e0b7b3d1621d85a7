package bus

import (
	"errors"
	"sync"
	"sync/atomic"
)

const (
	maxHeld       = 64 << 20 // bytes of the messages that one filter holds
	maxQueued     = 8 << 20  // bytes that wait for a program that does not read; one message more may join them
	maxQueuedFile = 256      // descriptors that wait with them
)

var (
	errHeld   = errors.New("the filter holds too many bytes of messages")
	errSlow   = errors.New("the program does not read the messages that wait for it")
	errClosed = errors.New("the connection is closed")
)

// A budget bounds the bytes that the connections of one filter hold together. A nil budget has no bound.
type budget struct{ held atomic.Int64 }

func (b *budget) reserve(n int) error {
	if b != nil && b.held.Add(int64(n)) > maxHeld {
		b.held.Add(int64(-n))
		return errHeld
	}
	return nil
}

func (b *budget) release(n int) {
	if b != nil {
		b.held.Add(int64(-n))
	}
}

// A queue holds the messages that wait for the program. Its methods may be called by several goroutines.
type queue struct {
	mu     sync.Mutex
	more   sync.Cond
	all    []*message
	bytes  int
	files  int
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.more.L = &q.mu
	return q
}

// push appends a message, which the queue owns from then on, also if it returns an error: errSlow or errClosed.
func (q *queue) push(m *message) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	var err error
	switch {
	case q.closed:
		err = errClosed
	case q.bytes > maxQueued || q.files+len(m.files) > maxQueuedFile:
		err = errSlow
	default:
		q.all = append(q.all, m)
		q.bytes += weight(m)
		q.files += len(m.files)
		q.more.Signal()
		return nil
	}
	m.close()
	return err
}

// pop removes the first message, and waits for one. It returns nil when the queue is closed and empty.
func (q *queue) pop() *message {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.all) == 0 {
		if q.closed {
			return nil
		}
		q.more.Wait()
	}
	m := q.all[0]
	q.all[0] = nil
	q.all = q.all[1:]
	q.bytes -= weight(m)
	q.files -= len(m.files)
	return m
}

// weight returns about the number of bytes that a message takes.
func weight(m *message) int { return m.cost + len(m.body) + 512 }

// close lets pop return what the queue holds and then nil.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.more.Broadcast()
}

// drain closes the queue and the messages in it.
func (q *queue) drain() {
	q.close()
	for m := q.pop(); m != nil; m = q.pop() {
		m.close()
	}
}
