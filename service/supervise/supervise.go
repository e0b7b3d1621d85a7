package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/service"
)

// A Process is a program of a service that was started.
type Process interface {
	// Wait waits for its end, and returns nil if it ended by itself with success. It is called once.
	Wait() error
	// Signal asks it to end, by a signal of service.Signals.
	Signal(name string) error
	// Kill ends it and all that it has started.
	Kill() error
}

// A Prober is a Process that knows more than Probe can ask.
type Prober interface {
	// Probe makes a check, as Options.Check does.
	Probe(ctx context.Context, c service.Check) error
	// Told reports whether the program said that it is ready (sd_notify(3)).
	Told() bool
}

// A State is what a service does.
type State string

// The states.
const (
	Waiting  State = "waiting"  // for others
	Starting State = "starting" // not ready yet
	Ready    State = "ready"
	Sick     State = "sick" // its health check fails
	Pausing  State = "pausing"
	Stopping State = "stopping"
	Ended    State = "ended"  // with success, and stays so
	Failed   State = "failed" // and stays so
)

// An Event is a change of the state of a service.
type Event struct {
	Service *service.Service
	State   State
	Text    string // more about it; may be empty
}

// Options are those of Run. Start is needed.
type Options struct {
	// Start starts the program of a service.
	Start func(ctx context.Context, s *service.Service) (Process, error)
	// Check asks whether a program works; nil is Probe.
	Check func(ctx context.Context, c service.Check) error
	// Event is called at each change of a state, one call at a time. It must return soon. Nil: no calls.
	Event func(Event)
	// Last returns when a job was run last, before this process; nil, or the zero time: it was not.
	Last func(s *service.Service) time.Time
	// Reload has programs read their configuration again, each time that something is received; nil: nothing does.
	Reload <-chan struct{}
}

const (
	// probeEvery is the time between checks before a program is ready.
	probeEvery = 100 * time.Millisecond
	// probeTime is how long one check may take.
	probeTime = 5 * time.Second
)

// Run keeps services running until ctx ends or all have ended, and then returns after the last of their programs has ended. The error names the services
// that failed for good. After ctx has ended, each service is stopped when those that come after it have stopped.
func Run(ctx context.Context, set []*service.Service, o *Options) error {
	order, err := service.Order(set)
	if err != nil {
		return err
	}
	r := &run{o: *o, members: map[string]*member{}}
	if r.o.Check == nil {
		r.o.Check = Probe
	}
	for _, s := range order {
		m := &member{r: r, s: s, ready: make(chan struct{}), done: make(chan struct{}), reload: make(chan struct{}, 1)}
		for _, name := range s.After {
			before := r.members[name]
			m.before = append(m.before, before)
			if slices.Contains(s.Needs, name) {
				m.needs = append(m.needs, before)
			}
			before.later = append(before.later, m)
		}
		r.members[s.Name] = m
	}
	for _, s := range order {
		m := r.members[s.Name]
		r.wg.Go(func() {
			defer close(m.done)
			m.live(ctx)
		})
	}
	over := make(chan struct{})
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		r.passReload(over)
	}()
	r.wg.Wait()
	close(over)
	<-passed
	if len(r.failed) > 0 {
		return fmt.Errorf("services failed: %s", strings.Join(r.failed, ", "))
	}
	return nil
}

// passReload passes requests to reload on to all members.
func (r *run) passReload(over <-chan struct{}) {
	for {
		select {
		case <-r.o.Reload:
			for _, m := range r.members {
				select {
				case m.reload <- struct{}{}:
				default: // one is on its way
				}
			}
		case <-over:
			return
		}
	}
}

type run struct {
	o       Options
	members map[string]*member
	wg      sync.WaitGroup

	mu     sync.Mutex // guards failed, and calls of Event
	failed []string
}

// A member is a service that is kept running. Its goroutine owns it.
type member struct {
	r             *run
	s             *service.Service
	before, later []*member
	needs         []*member     // those of before without which it does not run
	ready         chan struct{} // closed when the program was ready once
	wasReady      bool
	failed        bool          // for good; may be read when done is closed
	done          chan struct{} // closed when nothing follows any more
	reload        chan struct{}
}

// nowReady notes that the program was ready.
func (m *member) nowReady() {
	if !m.wasReady {
		m.wasReady = true
		close(m.ready)
	}
}

func (m *member) tell(state State, format string, args ...any) {
	r := m.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if state == Failed {
		m.failed = true
		r.failed = append(r.failed, m.s.Name)
	}
	if r.o.Event != nil {
		r.o.Event(Event{m.s, state, fmt.Sprintf(format, args...)})
	}
}

// live starts the program again and again.
func (m *member) live(ctx context.Context) {
	for _, other := range m.before {
		m.tell(Waiting, "for %s", other.s.Name)
		select {
		case <-other.ready:
		case <-ctx.Done():
			return
		case <-other.done:
			select {
			case <-other.ready:
			default:
				m.tell(Failed, "%s was never ready", other.s.Name)
				return
			}
		}
	}
	if !m.s.Every.IsZero() {
		m.timed(ctx)
		return
	}
	ctx, free := m.withNeeds(ctx)
	defer free()
	for restarts := 0; ctx.Err() == nil; restarts++ {
		m.tell(Starting, "")
		readyFor, err := m.once(ctx)
		var need errNeed
		if errors.As(context.Cause(ctx), &need) {
			m.tell(Failed, "%v", need)
			return
		}
		if ctx.Err() != nil {
			m.tell(Ended, "stopped")
			return
		}
		if readyFor >= service.MaxDelay {
			restarts = 0
		}
		policy := m.s.Restart.Policy
		switch {
		case policy == service.RestartAlways || policy == service.RestartFailure && err != nil:
		case err != nil:
			m.tell(Failed, "%v", err)
			return
		default:
			m.tell(Ended, "")
			return
		}
		delay := m.s.Restart.Next(restarts)
		why := "it ended"
		if err != nil {
			why = err.Error()
		}
		m.tell(Pausing, "%s; it is started again in %s", why, delay)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
	}
}

// once runs the program to its end, and returns how long it was ready.
func (m *member) once(ctx context.Context) (readyFor time.Duration, err error) {
	p, err := m.r.o.Start(ctx, m.s)
	if err != nil {
		return 0, fmt.Errorf("start: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	over, err := m.untilReady(ctx, p, ended)
	if over {
		return 0, err
	}
	since := time.Now()
	m.nowReady()
	m.tell(Ready, "")
	err = m.watch(ctx, p, ended)
	return time.Since(since), err
}

// untilReady waits until the program is ready. over is true if it has ended.
func (m *member) untilReady(ctx context.Context, p Process, ended <-chan error) (over bool, err error) {
	r := m.s.Ready
	limited, cancel := context.WithTimeout(ctx, r.Within)
	defer cancel()
	settled := time.NewTimer(service.Settle)
	defer settled.Stop()
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	last := error(nil)
	asks := m.asks()
	var answer chan error // of a check that is being made: it may take longer than the program lives
	defer func() {
		cancel()
		if answer != nil {
			<-answer
		}
	}()
	for {
		select {
		case err := <-ended:
			if err == nil && !asks { // a program that does one thing
				m.nowReady()
				return true, nil
			}
			if err == nil {
				return true, fmt.Errorf("it ended before it was ready")
			}
			return true, err
		case <-settled.C:
			if !asks {
				return false, nil
			}
		case <-limited.Done():
			if ctx.Err() != nil {
				return true, m.stop(ctx, p, ended)
			}
			if !asks { // Within is shorter than what it takes to settle
				return false, nil
			}
			if answer != nil {
				last, answer = <-answer, nil
			}
			last = cmp.Or(last, errLate)
			m.tell(Stopping, "it was not ready in %s: %v", r.Within, last)
			m.halt(p, ended)
			return true, fmt.Errorf("it was not ready in %s: %w", r.Within, last)
		case <-probe.C:
			if asks && answer == nil {
				answer = make(chan error, 1)
				go func(to chan<- error) { to <- m.isReady(limited, p) }(answer)
			}
		case last = <-answer:
			answer = nil
			if last == nil {
				return false, nil
			}
		}
	}
}

// errLate is why a program is not ready that was asked nothing in its time, or answered too late.
var errLate = errors.New("it did not answer in time")

// watch waits for the end of a program that is ready, and stops it if it does not work.
func (m *member) watch(ctx context.Context, p Process, ended <-chan error) error {
	h := m.s.Health
	var tick <-chan time.Time
	if !h.IsZero() {
		t := time.NewTicker(h.Every)
		defer t.Stop()
		tick = t.C
	}
	fails := 0
	for {
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return m.stop(ctx, p, ended)
		case <-m.reload:
			if m.s.Reload != "" {
				_ = p.Signal(m.s.Reload) // it may have ended
			}
		case <-tick:
			err := m.check(ctx, p, h.Check)
			if ctx.Err() != nil {
				continue // it is being stopped
			}
			if err == nil {
				fails = 0
				continue
			}
			if fails++; fails < h.Fails {
				m.tell(Sick, "%v", err)
				continue
			}
			m.tell(Stopping, "%d health checks failed: %v", fails, err)
			m.halt(p, ended)
			return fmt.Errorf("%d health checks failed: %w", fails, err)
		}
	}
}

// stop stops the program when those that come after this one have stopped.
func (m *member) stop(ctx context.Context, p Process, ended <-chan error) error {
	for _, other := range m.later {
		if errors.As(context.Cause(ctx), new(errNeed)) {
			break // they go on, or have the same need
		}
		select {
		case <-other.done:
		case err := <-ended:
			return err
		}
	}
	m.tell(Stopping, "")
	m.halt(p, ended)
	return nil
}

// halt asks a program to end, and kills it if it does not.
func (m *member) halt(p Process, ended <-chan error) {
	_ = p.Signal(m.s.Stop.Signal) // it may have ended
	select {
	case <-ended:
		return
	case <-time.After(m.s.Stop.Within):
	}
	m.tell(Stopping, "it does not end in %s, and is killed", m.s.Stop.Within)
	_ = p.Kill()
	<-ended
}
