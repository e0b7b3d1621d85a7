package supervise

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// clockStep is how long a job waits before it looks at the clock again: the clock may have been set, and the machine may have slept.
const clockStep = 30 * time.Second

// timed runs a job at its times. A job that fails is run again at its next time.
func (m *member) timed(ctx context.Context) {
	m.nowReady() // those that come after it do not wait for its first run
	var last time.Time
	if m.r.o.Last != nil {
		last = m.r.o.Last(m.s)
	}
	for ctx.Err() == nil {
		jitter := time.Duration(0)
		if j := m.s.Every.Jitter; j > 0 {
			jitter = rand.N(j)
		}
		due := m.s.Every.Next(last, time.Now()).Add(jitter)
		m.tell(Waiting, "until %s", due.Format("2006-01-02 15:04:05"))
		if !m.waitUntil(ctx, last, due, jitter) {
			break
		}
		last = time.Now().Round(0) // without the monotonic clock, which stands still while the machine sleeps
		m.tell(Starting, "")
		if err := m.job(ctx); err != nil && ctx.Err() == nil {
			m.tell(Sick, "%v", err)
		}
	}
	m.tell(Ended, "stopped")
}

// waitUntil waits until a time of the wall clock, or until the job is due because the clock was set. It reports false if ctx has ended.
func (m *member) waitUntil(ctx context.Context, last, due time.Time, jitter time.Duration) bool {
	for {
		now := time.Now().Round(0)
		if again := m.s.Every.Next(last, now).Add(jitter); !last.IsZero() && again.Before(due) {
			due = again
		}
		if !now.Before(due) {
			return true
		}
		select {
		case <-time.After(min(due.Sub(now), clockStep)):
		case <-ctx.Done():
			return false
		}
	}
}

// job runs the program of a job to its end.
func (m *member) job(ctx context.Context) error {
	p, err := m.r.o.Start(ctx, m.s)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		m.tell(Stopping, "")
		m.halt(p, ended)
		return errors.New("it was stopped")
	}
}
