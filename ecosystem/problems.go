package ecosystem

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
)

const maxProblems = 1000

// problems collects what went wrong, in words for the user. What a client prints often hides it.
type problems struct {
	log *slog.Logger

	mu    sync.Mutex
	order []string
	text  map[string]string
}

func newProblems(log *slog.Logger) *problems {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &problems{log: log, text: map[string]string{}}
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
	var out []string
	for _, key := range p.order {
		out = append(out, p.text[key])
	}
	return out
}
