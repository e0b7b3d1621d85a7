package deploy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/service"
	"github.com/MordragT/nuka/service/supervise"
)

const (
	// look is the time between two looks at what a launcher tells.
	look = 30 * time.Millisecond
	// settling is how long a launcher may take until it starts the program: it waits for the one before it to end, for the node, and for other services.
	settling = 90 * time.Second
	// maxTries is how often a program may end before it is ready.
	maxTries = 3
	// logLines and logBytes bound what a failure shows of a log.
	logLines, logBytes = 20, 64 << 10
)

// errStep is the error of an interrupted test.
var errStep = errors.New("interrupted")

func isReady(s supervise.State) bool {
	return s == supervise.Ready || s == supervise.Sick || s == supervise.Ended
}

// startAll starts the services of a generation that do not run as it says, each when those that it needs are ready, and waits until all that differ from those of from
// are ready. Written are those whose units this change has written.
func (c *Change) startAll(ctx context.Context, m Manager, from, to *Generation, view *View, written map[string]bool) ([]Failure, error) {
	var mu sync.Mutex // guards failed and err
	failed := map[string]Failure{}
	var err error
	done := map[string]chan struct{}{}
	brought := map[string]bool{} // those that this change starts
	var wg sync.WaitGroup
	for _, s := range to.Services() {
		if !view.wants(to, s.Name) {
			continue
		}
		if idle(from, to, s) && !from.moved(to) && !written[s.Name] && !c.recovering {
			continue // it runs at its times
		}
		brought[s.Name] = !c.right(to, s)
		shaken := slices.ContainsFunc(s.Needs, func(name string) bool { return brought[name] })
		ended := make(chan struct{})
		done[s.Name] = ended
		var before []chan struct{}
		for _, name := range s.After {
			if ch := done[name]; ch != nil {
				before = append(before, ch)
			}
		}
		wg.Go(func() {
			defer close(ended)
			for _, ch := range before {
				<-ch
			}
			mu.Lock()
			i := slices.IndexFunc(s.After, func(name string) bool { return failed[name].Service != "" })
			stop := err != nil
			mu.Unlock()
			if stop {
				return
			}
			var f *Failure
			var e error
			if i >= 0 && !c.right(to, s) {
				f = &Failure{Service: s.Name, Why: fmt.Sprintf("was not started: %s is not ready", s.After[i])}
			} else if i < 0 {
				f, e = c.bring(ctx, m, from, to, s, shaken)
			}
			mu.Lock()
			defer mu.Unlock()
			if f != nil {
				failed[s.Name] = *f
			}
			err = cmp.Or(err, e)
		})
	}
	wg.Wait()
	var out []Failure
	for _, s := range to.Services() {
		if f := failed[s.Name]; f.Service != "" {
			out = append(out, f)
		}
	}
	return out, err
}

// right reports whether the launcher of a service follows the generation.
func (c *Change) right(g *Generation, s *service.Service) bool {
	r, err := c.Dir.Running(s.Name)
	return err == nil && r.Alive && r.Generation == g.Members[s.Name].From
}

// bring starts a service unless it runs as the generation says, and waits until it is ready. Shaken says that it may have ended with one of those that it needs.
func (c *Change) bring(ctx context.Context, m Manager, from, to *Generation, s *service.Service, shaken bool) (*Failure, error) {
	want := to.Members[s.Name].From
	old, err := c.Dir.Running(s.Name)
	if err != nil {
		return nil, err
	}
	size := c.Dir.logSize(s.Name)
	right := old.Alive && old.Generation == want
	if right && c.recovering {
		// A manager may still be carrying out what the interrupted command has told it.
		if err := m.Start(ctx, s.Name); err != nil {
			return nil, err
		}
		if old, err = c.Dir.Running(s.Name); err != nil {
			return nil, err
		}
		right = old.Alive && old.Generation == want
	}
	switch {
	case right && from.member(s.Name).From == want && !shaken:
		return nil, nil // it is none of the change's business
	case right:
		old.Began = time.Time{}
	default:
		verb := "starts"
		if old.Alive {
			verb = "restarts"
		}
		c.Event(s.Name, verb)
		if err := c.step("start " + s.Name); err != nil {
			return nil, err
		}
		if err := m.Restart(ctx, s.Name); err != nil {
			return nil, err
		}
	}
	if !s.Every.IsZero() {
		return nil, nil // a job runs at its times
	}
	if err := c.step("wait " + s.Name); err != nil {
		return nil, err
	}
	why, err := c.await(ctx, s, want, old.Began)
	if err != nil {
		return nil, err
	}
	if why == "" {
		c.Event(s.Name, "is ready")
		return nil, nil
	}
	return &Failure{Service: s.Name, Why: why, Log: c.Dir.Tail(s.Name, logLines, size)}, nil
}

// await waits until the launcher that began after another one says that the service is ready. It returns why it is not.
func (c *Change) await(ctx context.Context, s *service.Service, generation int, after time.Time) (why string, err error) {
	overall := time.Now().Add(settling + s.Stop.Within + s.Ready.Within)
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		r, err := c.Dir.Running(s.Name)
		if err != nil {
			return "", err
		}
		if r.Generation == generation && r.Began.After(after) {
			switch {
			case isReady(r.State) && (r.Alive || r.State == supervise.Ended):
				return "", nil
			case r.State == supervise.Failed:
				return "failed: " + r.Text, nil
			case r.Restarts >= maxTries:
				return fmt.Sprintf("ended %d times before it was ready: %s", r.Restarts, r.Exit), nil
			case r.State == supervise.Stopping: // the launcher has waited long enough
				return because(fmt.Sprintf("was not ready in %s", s.Ready.Within), r.Text), nil
			case r.Restarts > 0 && time.Since(r.Tried) > s.Ready.Within:
				return because(fmt.Sprintf("was not ready in %s", s.Ready.Within), r.Exit), nil
			}
		}
		if time.Now().After(overall) {
			if r.Alive && r.State == supervise.Waiting {
				return "waits " + r.Text, nil
			}
			return "was not started by the service manager", nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func because(what, why string) string {
	if why == "" || strings.HasPrefix(why, "it "+what) {
		return cmp.Or(strings.TrimPrefix(why, "it "), what)
	}
	return what + ": " + why
}

// Log returns the path of the file that a launcher writes the output of its service to.
func (d *Dir) Log(name string) string { return filepath.Join(d.base, name, "log", "current") }

func (d *Dir) logSize(name string) int64 {
	info, err := os.Stat(d.Log(name))
	if err != nil {
		return 0
	}
	return info.Size()
}

// Tail returns the last lines of the log of a service that were written after an offset.
func (d *Dir) Tail(name string, lines int, after int64) []string {
	f, err := os.Open(d.Log(name))
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	if info.Size() < after {
		after = 0 // it was rotated
	}
	begin := max(after, info.Size()-logBytes)
	text, err := io.ReadAll(io.NewSectionReader(f, begin, info.Size()-begin))
	text = bytes.TrimSuffix(text, []byte("\n"))
	if err != nil || len(text) == 0 {
		return nil
	}
	all := strings.Split(string(text), "\n")
	if begin > after && len(all) > 1 {
		all = all[1:] // a part of a line
	}
	return all[max(0, len(all)-lines):]
}

// Restart restarts services of the current generation in their order, and waits until they are ready.
func (c *Change) Restart(ctx context.Context, g *Generation, names []string) (*Result, error) {
	if err := c.Check(g, g); err != nil {
		return nil, err
	}
	m, err := c.Open(g)
	if err != nil {
		return nil, err
	}
	r := &Result{}
	for _, s := range g.Services() {
		if !slices.Contains(names, s.Name) {
			continue
		}
		old, err := c.Dir.Running(s.Name)
		if err != nil {
			return nil, err
		}
		size := c.Dir.logSize(s.Name)
		c.Event(s.Name, "restarts")
		if err := m.Restart(ctx, s.Name); err != nil {
			return r, err
		}
		why := ""
		if s.Every.IsZero() {
			why, err = c.await(ctx, s, g.Members[s.Name].From, old.Began)
		}
		if err != nil {
			return r, err
		}
		if why != "" {
			r.Failures = append(r.Failures, Failure{Service: s.Name, Why: why, Log: c.Dir.Tail(s.Name, logLines, size)})
			continue
		}
		c.Event(s.Name, "is ready")
	}
	return r, nil
}
