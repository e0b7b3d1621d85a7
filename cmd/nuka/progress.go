package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// progress shows the progress of a realize call: bars on a terminal, else one line for each step that starts and one for each that ends.
type progress struct {
	t       *terminal
	verbose bool
	bars    *mpb.Progress // nil if nothing is drawn
	active  map[pir.PID]*activity
	waiting map[pir.PID]bool       // for a slot
	waits   *mpb.Bar               // shows how many wait; nil while none do
	failed  pir.PID                // the PID whose failure ended the call
	first   func(pir.PID) []string // lines to show before this PID starts; may be nil
}

type activity struct {
	bar     *mpb.Bar
	started time.Time
	line    string // the last line of a build's output
	bytes   int64
}

func newProgress(t *terminal, verbose bool) *progress {
	p := &progress{t: t, verbose: verbose, active: map[pir.PID]*activity{}, waiting: map[pir.PID]bool{}}
	if t.draws() {
		p.bars = mpb.New(mpb.WithOutput(t.err), mpb.WithWidth(30), mpb.WithRefreshRate(120*time.Millisecond))
	}
	return p
}

// close removes all bars.
func (p *progress) close() {
	if p.bars == nil {
		return
	}
	for _, act := range p.active {
		if act.bar != nil {
			act.bar.Abort(true)
		}
	}
	if p.waits != nil {
		p.waits.Abort(true)
	}
	p.bars.Wait()
}

// line writes a line that stays on the terminal.
func (p *progress) line(format string, args ...any) {
	text := "nuka: " + printable(fmt.Sprintf(format, args...)) + "\n"
	if p.bars != nil {
		fmt.Fprint(p.bars, text)
		return
	}
	fmt.Fprint(p.t.err, text)
}

func (p *progress) event(e protocol.Event) {
	switch e.Kind {
	case protocol.EventWait:
		p.wait(e)
	case protocol.EventStart:
		p.start(e)
	case protocol.EventProgress:
		if act := p.active[e.PID]; act != nil {
			act.bytes = e.Done
			if act.bar != nil {
				if e.Total > 0 {
					act.bar.SetTotal(e.Total+1, false) // one more than the total, because unpacking follows
				}
				act.bar.SetCurrent(e.Done)
			}
		}
	case protocol.EventLog:
		if act := p.active[e.PID]; act != nil {
			act.line = strings.ReplaceAll(printable(e.Text), "\n", " ")
		}
		if p.verbose {
			p.line("%s| %s", e.Name, e.Text)
		}
	case protocol.EventDone:
		p.done(e)
	case protocol.EventFail:
		p.failed = e.PID
		p.end(e.PID)
	case protocol.EventNote:
		p.line("%s", e.Text)
	}
}

// wait shows that a step waits for a slot. All waiting steps share one bar, because a request may have hundreds.
func (p *progress) wait(e protocol.Event) {
	p.waiting[e.PID] = true
	if p.bars == nil {
		if p.verbose {
			p.line("%s waits for a slot", strings.TrimSpace(e.What.Verb()+" "+e.Name))
		}
		return
	}
	if p.waits == nil {
		p.waits = p.bars.New(0, mpb.SpinnerStyle(), mpb.BarWidth(2), mpb.BarRemoveOnComplete(), mpb.BarPriority(math.MaxInt),
			mpb.PrependDecorators(decor.Any(func(s decor.Statistics) string {
				return fmt.Sprintf("%d wait for a slot", s.Current)
			}, decor.WCSyncSpaceR)))
	}
	p.waits.SetCurrent(int64(len(p.waiting)))
}

// waited notes that a step no longer waits: it has started or ended.
func (p *progress) waited(id pir.PID) {
	if !p.waiting[id] {
		return
	}
	delete(p.waiting, id)
	switch {
	case p.waits == nil:
	case len(p.waiting) == 0:
		p.waits.Abort(true)
		p.waits = nil
	default:
		p.waits.SetCurrent(int64(len(p.waiting)))
	}
}

func (p *progress) start(e protocol.Event) {
	p.waited(e.PID)
	if p.first != nil {
		for _, text := range p.first(e.PID) {
			p.line("%s", text)
		}
	}
	act := &activity{started: time.Now()}
	p.active[e.PID] = act
	name := printable(e.Name)
	if verb := e.What.Verb(); verb != "" {
		name = verb + " " + name
	}
	if e.Total > 1 {
		name = fmt.Sprintf("[%d/%d] %s", e.Done, e.Total, name)
	}
	if p.bars == nil {
		if p.verbose || e.What.Long() || e.What == "" {
			p.line("%s", name)
		}
		return
	}
	title := decor.Any(func(s decor.Statistics) string { return shorten(name, s.AvailableWidth-besideName) }, decor.WCSyncSpaceR)
	if e.What == pir.Fetch {
		act.bar = p.bars.AddBar(0, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(title),
			mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string { return transferred(s, act.started) })))
		return
	}
	act.bar = p.bars.New(0, mpb.SpinnerStyle(), mpb.BarWidth(2), mpb.BarRemoveOnComplete(), mpb.PrependDecorators(title),
		mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_MMSS), decor.Any(func(s decor.Statistics) string {
			if s.AvailableWidth < 10 {
				return ""
			}
			return "  " + shorten(act.line, min(s.AvailableWidth-4, 60))
		})))
}

// besideName is the width, in characters, of a bar and its figures without the name of the step.
const besideName = 36

// shorten cuts a text to at most a number of characters, but always keeps a few.
func shorten(text string, most int) string {
	runes := []rune(text)
	if most = max(most, 12); len(runes) <= most {
		return text
	}
	return string(runes[:most-1]) + "…"
}

// transferred returns the figures of a download, as many as fit.
func transferred(s decor.Statistics, started time.Time) string {
	if s.Total <= 0 {
		return size(s.Current)
	}
	all := s.Total - 1 // see event
	if s.Current >= all {
		return size(all) + "  unpacking"
	}
	text := size(s.Current) + " / " + size(all)
	if took := time.Since(started).Seconds(); took > 0.5 && s.AvailableWidth > 50 {
		text += "  " + size(int64(float64(s.Current)/took)) + "/s"
	}
	return text
}

// end removes the bar of a PID and returns its activity.
func (p *progress) end(id pir.PID) *activity {
	p.waited(id)
	act := p.active[id]
	if act == nil {
		return &activity{started: time.Now()}
	}
	if act.bar != nil {
		act.bar.Abort(true)
	}
	delete(p.active, id)
	return act
}

func (p *progress) done(e protocol.Event) {
	act := p.end(e.PID)
	took := time.Since(act.started).Round(10 * time.Millisecond)
	switch e.Way {
	case protocol.Fetched:
		p.line("fetched %s (%s, %s)", e.Name, size(act.bytes), took)
	case protocol.Built:
		p.line("built %s (%s)", e.Name, took)
	case protocol.Checked:
		p.line("checked %s: the rebuild is byte-identical (%s)", e.Name, took)
	case protocol.Cutoff:
		p.line("kept %s: the content of its inputs is unchanged", e.Name)
	case protocol.Merged:
		if p.verbose {
			p.line("made %s", e.Name)
		}
	case "": // a step without content
		p.line("%s: done (%s)", e.Name, took)
		return
	}
	if p.verbose {
		p.line("  pid %s", e.PID)
		p.line("  cid %s", e.CID)
		if e.CPU > 0 {
			p.line("  processor time %s", time.Duration(e.CPU)*time.Millisecond)
		}
		if e.Same != "" {
			p.line("  resolved pir %s, realized before", e.Same)
		}
	}
}

// size formats a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefix := float64(n)/unit, 0
	for value >= unit && prefix < 4 {
		value, prefix = value/unit, prefix+1
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTP"[prefix])
}
