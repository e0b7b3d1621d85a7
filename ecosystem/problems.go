package ecosystem

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
)

const (
	maxProblems = 1000
	maxRefused  = 100
)

// problems collects what went wrong, in words for the user. What a client prints often hides it.
type problems struct {
	log *slog.Logger

	mu      sync.Mutex
	order   []string
	text    map[string]string
	refused []string
}

func newProblems(log *slog.Logger) *problems {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &problems{log: log, text: map[string]string{}}
}

// refuse notes what a client must not do. Unlike a problem, success does not clear it: an install script may have tried what its package manager did not need.
func (p *problems) refuse(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p.log.Warn("refused a client", "what", text)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.refused) < maxRefused && !slices.Contains(p.refused, text) {
		p.refused = append(p.refused, text)
	}
}

// refusals returns what was refused, in the order of the first attempts.
func (p *problems) refusals() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.refused)
}

// add notes a problem with what key stands for, in place of an earlier one.
func (p *problems) add(key, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p.log.Warn(text, "request", key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, there := p.text[key]; !there {
		if len(p.order) == maxProblems {
			return
		}
		p.order = append(p.order, key)
	}
	p.text[key] = text
}

// clear forgets a problem: the client asked again, and succeeded.
func (p *problems) clear(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, there := p.text[key]; there {
		delete(p.text, key)
		p.order = slices.DeleteFunc(p.order, func(k string) bool { return k == key })
	}
}

func (p *problems) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := slices.Clone(p.refused)
	for _, key := range p.order {
		out = append(out, p.text[key])
	}
	return out
}
