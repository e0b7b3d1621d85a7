package realize

import (
	"context"
	"sync"

	"github.com/MordragT/nuka/pir"
)

// locks lets one holder at a time work on a PID. The zero value is ready.
type locks struct {
	mu   sync.Mutex
	held map[pir.PID]chan struct{}
}

// lock waits until it holds id, or ctx ends. The caller calls unlock once.
func (l *locks) lock(ctx context.Context, id pir.PID) (unlock func(), err error) {
	for {
		l.mu.Lock()
		busy := l.held[id]
		if busy == nil {
			if l.held == nil {
				l.held = map[pir.PID]chan struct{}{}
			}
			freed := make(chan struct{})
			l.held[id] = freed
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				delete(l.held, id)
				l.mu.Unlock()
				close(freed)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
