package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/service"
)

// A Change brings generations into use. Its user holds the lock of the folder.
type Change struct {
	Dir *Dir
	// Open returns the service manager of a generation.
	Open func(*Generation) (Manager, error)
	// Event tells what happens to a service. It may be called from several goroutines.
	Event func(name, text string)
	// Force replaces units that were changed by hand. They are kept in the folder kept.
	Force bool

	// recovering says that an interrupted change is finished or taken back.
	recovering bool
	// before is called before each step; its error becomes the step's. It may be nil. Tests of interruptions use it.
	before func(step string) error
}

// A Failure is a service that was not ready in time.
type Failure struct {
	Service string   `json:"service"`
	Why     string   `json:"why"`
	Log     []string `json:"log,omitempty"` // the last lines since it was started
}

// A Result says how a change ended.
type Result struct {
	// Failures are the services that were not ready.
	Failures []Failure `json:"failures,omitempty"`
	// Back says that the generation before is in use again.
	Back bool `json:"back,omitempty"`
	// BackFailures are the services that were not ready even then.
	BackFailures []Failure `json:"back_failures,omitempty"`
}

// Failed says in one line why a change failed, and "" if it did not.
func (r *Result) Failed() string {
	var out []string
	for _, f := range r.Failures {
		out = append(out, f.Service+" "+f.Why)
	}
	return strings.Join(out, "; ")
}

func (c *Change) step(name string) error {
	if c.before == nil {
		return nil
	}
	return c.before(name)
}

// Pending reports whether a change from one generation to another would do anything.
func (c *Change) Pending(p *Plan, from, to *Generation) (bool, error) {
	if len(p.Steps) > 0 || !from.Same(to) {
		return true, nil
	}
	m, err := c.Open(to)
	if err != nil {
		return false, err
	}
	view, err := c.Dir.See()
	if err != nil {
		return false, err
	}
	for _, s := range to.Services() {
		for _, u := range to.Members[s.Name].Units {
			text, there, err := onDisk(m.Folder(), &u)
			if err != nil || there != view.wants(to, s.Name) || there && text != u.Text {
				return true, err
			}
		}
	}
	return false, nil
}

// Apply brings a generation into use in the place of the current one. Either may be nil: none. The record of to is written already.
//
// If a service that was well before is not ready in time, or ctx ends, or the service manager fails, Apply goes back to from. If Apply is interrupted,
// Recover continues.
func (c *Change) Apply(ctx context.Context, from, to *Generation) (*Result, error) {
	if err := c.Check(from, to); err != nil {
		return nil, err
	}
	if err := c.Dir.setJournal(&journal{From: number(from), To: number(to)}); err != nil {
		return nil, err
	}
	well, err := c.well(from)
	if err != nil {
		return nil, err
	}
	return c.forward(ctx, from, to, well)
}

func number(g *Generation) int {
	if g == nil {
		return 0
	}
	return g.Number
}

// well returns which services of a generation are ready.
func (c *Change) well(g *Generation) (map[string]bool, error) {
	view, err := c.Dir.See(g)
	well := map[string]bool{}
	for name, r := range view.Running {
		well[name] = r.Alive && isReady(r.State)
	}
	return well, err
}

// forward brings a generation into use, and goes back if a service of well is not ready.
func (c *Change) forward(ctx context.Context, from, to *Generation, well map[string]bool) (*Result, error) {
	failures, err := c.carry(ctx, from, to)
	r := &Result{Failures: failures}
	same := number(from) == number(to)
	back := err != nil
	for _, f := range failures {
		back = back || well[f.Service]
	}
	if errors.Is(err, errStep) { // a test interrupts it
		return nil, err
	}
	if !back || same || to == nil {
		if err != nil {
			return r, err // the journal is left: the next change tries again
		}
		if to != nil && !same && to.Failed != r.Failed() {
			to.Failed = r.Failed()
			if err := c.Dir.Put(to); err != nil {
				return r, err
			}
		}
		return r, c.finish(to)
	}
	r.Back = true
	why := r.Failed()
	if why == "" {
		why = protocol.AsError(err).Message
	}
	failures, e := c.back(ctx, from, to, why)
	r.BackFailures = failures
	if e != nil {
		return r, errors.Join(err, fmt.Errorf("going back to generation %d: %w", number(from), e))
	}
	return r, err
}

// finish notes the current generation, and that no change is under way.
func (c *Change) finish(g *Generation) error {
	if err := c.step("current"); err != nil {
		return err
	}
	if err := c.Dir.setCurrent(number(g)); err != nil {
		return err
	}
	if err := c.step("journal"); err != nil {
		return err
	}
	return c.Dir.setJournal(nil)
}

// back takes a change back, and notes why. It goes on when ctx ends.
func (c *Change) back(ctx context.Context, from, to *Generation, why string) ([]Failure, error) {
	ctx = context.WithoutCancel(ctx)
	if err := c.Dir.setJournal(&journal{From: number(from), To: number(to), Back: true}); err != nil {
		return nil, err
	}
	if number(to) > number(from) { // a new one, not an earlier one
		to.Failed = why
		if err := c.Dir.Put(to); err != nil {
			return nil, err
		}
	}
	c.Event("", fmt.Sprintf("going back to %s", nameOf(from)))
	failures, err := c.carry(ctx, to, from)
	if err != nil {
		return failures, err
	}
	return failures, c.finish(from)
}

func nameOf(g *Generation) string {
	if g == nil {
		return "no services"
	}
	return fmt.Sprintf("generation %d", g.Number)
}

// Recover finishes or takes back a change that was interrupted: it finishes a change to the set want, a removal, and a start or stop; it takes back others.
func (c *Change) Recover(ctx context.Context, want pir.PID) error {
	j, err := c.Dir.journal()
	if j == nil || err != nil {
		return err
	}
	read := func(n int) (g *Generation) {
		if n > 0 && err == nil {
			g, err = c.Dir.Generation(n)
		}
		return g
	}
	from, to := read(j.From), read(j.To)
	if err != nil {
		return err
	}
	if err := c.Check(from, to); err != nil {
		return err
	}
	if err := c.clean(from, to); err != nil {
		return err
	}
	c.recovering = true
	defer func() { c.recovering = false }()
	forward := !j.Back && (j.To == 0 || j.From == j.To || to.Set == want)
	if forward {
		c.Event("", "finishing the last change, which was interrupted")
		well := map[string]bool{}
		for _, s := range from.Services() {
			well[s.Name] = true
		}
		_, err := c.forward(ctx, from, to, well)
		return err
	}
	c.Event("", "taking back the last change, which was interrupted")
	why := "interrupted"
	if to != nil && to.Failed != "" {
		why = to.Failed
	}
	_, err = c.back(ctx, from, to, why)
	return err
}

// clean removes units that an interrupted change was writing.
func (c *Change) clean(generations ...*Generation) error {
	for _, g := range generations {
		if g == nil {
			continue
		}
		m, err := c.Open(g)
		if err != nil {
			return err
		}
		for _, member := range g.Members {
			for _, u := range member.Units {
				if err := gone(os.Remove(temp(filepath.Join(m.Folder(), filepath.FromSlash(u.Path))))); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// carry makes the machine be as a generation says, from any state between from and to. It returns the services of to that are not ready.
func (c *Change) carry(ctx context.Context, from, to *Generation) ([]Failure, error) {
	view, err := c.Dir.See(from, to)
	if err != nil {
		return nil, err
	}
	if err := c.withdraw(ctx, from, to, view); err != nil || to == nil {
		return nil, err
	}
	m, err := c.Open(to)
	if err != nil {
		return nil, err
	}
	var wanted []string
	written := map[string]bool{}
	for _, s := range to.Services() {
		if !view.wants(to, s.Name) {
			continue
		}
		wanted = append(wanted, s.Name)
		for _, u := range to.Members[s.Name].Units {
			if text, there, err := onDisk(m.Folder(), &u); err != nil {
				return nil, err
			} else if there && text == u.Text {
				continue
			}
			if err := c.step("write " + u.Path); err != nil {
				return nil, err
			}
			if err := writeUnit(m.Folder(), &u); err != nil {
				return nil, err
			}
			written[s.Name] = true
		}
	}
	// Also if no unit was changed: the change may have been interrupted before this step.
	if err := c.step("reload"); err != nil {
		return nil, err
	}
	if err := m.Reload(ctx, wanted); err != nil {
		return nil, err
	}
	return c.startAll(ctx, m, from, to, view, written)
}

// withdraw stops the services of from that to does not want, or that another manager gets, and removes their units.
func (c *Change) withdraw(ctx context.Context, from, to *Generation, view *View) error {
	if from == nil {
		return nil
	}
	m, err := c.Open(from)
	if err != nil {
		return err
	}
	moved := from.moved(to)
	var stop []string
	var remove []service.Unit
	for _, s := range slices.Backward(from.Services()) {
		keep := view.wants(to, s.Name) && !moved
		there := false
		for _, u := range from.Members[s.Name].Units {
			if _, ok := unitOf(to.member(s.Name), u.Path); ok && keep {
				continue
			}
			_, exists, err := onDisk(m.Folder(), &u)
			if err != nil {
				return err
			}
			if exists {
				there = true
				remove = append(remove, u)
			}
		}
		if !keep && (there || view.Running[s.Name].Alive) {
			stop = append(stop, s.Name)
		}
	}
	if len(stop) > 0 {
		if err := c.step("stop " + strings.Join(stop, " ")); err != nil {
			return err
		}
		for _, name := range stop {
			c.Event(name, "stops")
		}
		if err := m.Stop(ctx, stop); err != nil {
			return err
		}
	}
	for _, u := range remove {
		if err := c.step("remove " + u.Path); err != nil {
			return err
		}
		if err := removeUnit(m.Folder(), &u); err != nil {
			return err
		}
	}
	if to != nil && !moved {
		return nil // the manager reads its folder when all is written
	}
	return m.Reload(ctx, nil)
}
