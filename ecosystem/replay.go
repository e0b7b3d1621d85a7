package ecosystem

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/MordragT/nuka/pir"
)

// ReplayOptions are those of a Replayer. Open is needed.
type ReplayOptions struct {
	// Adapter tells the forms of answers apart; nil takes any recorded form.
	Adapter Adapter
	// Open opens a file by its B3 hash. The Replayer closes it.
	Open func(hash pir.Hash) (io.ReadSeekCloser, error)
	// Base is the address of the proxy as the clients see it; "" is Base.
	Base string
	// Log tells operators what happens; nil discards it.
	Log *slog.Logger
}

// A Replayer answers the requests of a recording, each with the same bytes each time, and no others. It opens no connection. It implements Handler.
type Replayer struct {
	o         ReplayOptions
	answers   map[string]*Answer // by request
	forms     map[string]*Answer // the first recorded form, by request without variant
	upstreams map[string]string
	problems  *problems
}

// NewReplayer returns a Replayer of a recording, which nobody changes from then on.
func NewReplayer(r *Recording, o *ReplayOptions) (*Replayer, error) {
	if o.Open == nil {
		return nil, errors.New("replay: no store to open files in")
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	p := &Replayer{o: *o, answers: map[string]*Answer{}, forms: map[string]*Answer{}, upstreams: r.Upstreams, problems: newProblems(o.Log)}
	p.o.Base = cmp.Or(o.Base, Base)
	for i := range r.Answers {
		a := &r.Answers[i]
		p.answers[a.Request.String()] = a
		if bare := a.Request.bare(); p.forms[bare] == nil {
			p.forms[bare] = a
		}
	}
	return p, nil
}

// ServeHTTP implements http.Handler for DoorRegistry.
func (p *Replayer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answerRegistry(p, p.problems, w, r)
}

// Answer implements Handler.
func (p *Replayer) Answer(w http.ResponseWriter, r *http.Request, q Request) {
	w = &patient{w}
	if !methodAllowed(w, r, q, p.problems) {
		return
	}
	if p.o.Adapter != nil {
		q.Variant, _ = p.o.Adapter.Variant(q.Path, r.Header.Get("Accept"))
	}
	a := p.answers[q.String()]
	if a == nil {
		a = p.forms[q.bare()]
	}
	if a == nil {
		text := fmt.Sprintf("this request is not in the recording: %s %s. Record it again: nuka lock", r.Method, q.bare())
		p.problems.add(q.bare(), "%s", text)
		http.Error(w, "nuka: "+text, http.StatusNotFound)
		return
	}
	out := *a
	if p.o.Base != Base {
		out.Text = strings.ReplaceAll(out.Text, Base+"/", p.o.Base+"/")
		out.Location = strings.ReplaceAll(out.Location, Base+"/", p.o.Base+"/")
	}
	if out.Kept != nil {
		noStore(p.o.Adapter, w.Header())
	}
	if err := send(w, r, &out, p.o.Open); err != nil {
		p.problems.add(q.bare(), "%v", err)
	}
}

// Locate implements Handler. An address of a registry of the recording becomes a request to it, and any other one a request to its host.
func (p *Replayer) Locate(r *http.Request, at string) (Request, error) {
	u, err := url.Parse(at)
	if err != nil {
		return Request{}, err
	}
	path, err := CanonicalPath(cmp.Or(r.URL.EscapedPath(), "/"))
	if err != nil {
		return Request{}, err
	}
	q := Request{Alias: HostAlias(origin(u)), Path: path, Query: r.URL.RawQuery}
	if origin(u) == p.o.Base { // the proxy itself
		alias, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		q.Alias, q.Path = alias, "/"+rest
		return q, q.Check()
	}
	longest := ""
	for alias, base := range p.upstreams {
		rest, ok := strings.CutPrefix(HostAlias(origin(u))+path, base)
		if ok && strings.HasPrefix(rest, "/") && !strings.HasPrefix(rest, "//") && (len(base) > len(longest) || len(base) == len(longest) && alias < q.Alias) {
			longest, q.Alias, q.Path = base, alias, rest
		}
	}
	if p.forms[q.bare()] == nil {
		q = p.elsewhere(q)
	}
	return q, q.Check()
}

// elsewhere returns the request to a registry of the recording whose path is the end of an unknown path: on this machine, a client may be configured for a
// mirror of the registry.
func (p *Replayer) elsewhere(q Request) Request {
	for _, alias := range slices.Sorted(maps.Keys(p.upstreams)) {
		for at := range len(q.Path) {
			other := Request{Alias: alias, Path: q.Path[at:], Query: q.Query}
			if q.Path[at] == '/' && p.forms[other.bare()] != nil {
				return other
			}
		}
	}
	return q
}

// Refused implements Handler.
func (p *Replayer) Refused(host, why string) {
	p.problems.refuse("%s: %s", clip(host), why)
}

// Refusals returns what clients tried and must not do, in words for the user: reaching other hosts, and changing a registry. Problems has it, too.
func (p *Replayer) Refusals() []string { return p.problems.refusals() }

// Problems returns what clients asked in vain, in words for the user: what clients print often hides it.
func (p *Replayer) Problems() []string { return p.problems.list() }
