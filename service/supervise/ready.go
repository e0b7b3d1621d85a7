package supervise

import (
	"context"
	"errors"
	"sync"

	"github.com/MordragT/nuka/service"
)

// errNeed is why a service is stopped whose need has failed for good.
type errNeed struct{ name string }

func (e errNeed) Error() string { return e.name + ", which it needs, has failed" }

// withNeeds returns a context that ends when a service that m needs has failed for good.
func (m *member) withNeeds(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	for _, other := range m.needs {
		wg.Go(func() {
			select {
			case <-other.done:
				if other.failed {
					cancel(errNeed{other.s.Name})
				}
			case <-ctx.Done():
			}
		})
	}
	return ctx, func() {
		cancel(nil)
		wg.Wait()
	}
}

// asks reports whether the service is ready by more than that it runs.
func (m *member) asks() bool { return !m.s.Ready.IsZero() || m.s.Ready.Notify || len(m.s.Listen) > 0 }

// isReady asks whether the program is ready: by its check, by what it says, or on each of its sockets.
func (m *member) isReady(ctx context.Context, p Process) error {
	switch r := m.s.Ready; {
	case r.Notify:
		if prober, ok := p.(Prober); ok && prober.Told() {
			return nil
		}
		return errors.New("it has not said so")
	case !r.IsZero():
		return m.check(ctx, p, r.Check)
	}
	for _, socket := range m.s.Listen {
		if err := m.check(ctx, p, service.Check{On: socket.Name, Socket: socket}); err != nil {
			return err
		}
	}
	return nil
}

func (m *member) check(ctx context.Context, p Process, c service.Check) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	if prober, ok := p.(Prober); ok && c.On != "" {
		return prober.Probe(ctx, c)
	}
	return m.r.o.Check(ctx, c)
}
