package ecosystem

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/MordragT/nuka/pir"
)

// Options are those of a Recorder. Adapter and Files are needed.
type Options struct {
	Adapter   Adapter
	Upstreams []Upstream
	Files     Files
	// Door is the way by which clients come; "" is DoorRegistry.
	Door Door
	// Base is the address of the proxy as the clients see it; "" is Base. Recordings have Base in any case.
	Base string
	// Transport asks the registries; nil is NewTransport(Upstreams).
	Transport http.RoundTripper
	// Allow reports whether clients with DoorProxy may reach a host, by its address such as https://example.org, that is no registry's and that no index and no lock
	// file named; nil is none. Install scripts run behind the proxy too, and could send to other hosts what they read.
	Allow func(origin string) bool
	// Cooldown is the age that a version must have; 0 is none. Exempt excepts packages by name; nil none.
	Cooldown time.Duration
	Exempt   func(name string) bool
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Locked are the files that lock files of the project name. What they promise must hold, and recordings go on naming their versions.
	Locked []File
	Limits Limits
	// Memory finds files again of which registries promise weak hashes only; nil: such files are downloaded each time.
	Memory *Memory
	// Log tells operators what happens; nil discards it.
	Log *slog.Logger
}

// Limits bound what a registry can make a Recorder read. Zero is the default.
type Limits struct {
	Index int64         // bytes of an index, unpacked; 64 MiB
	File  int64         // bytes of a file; 16 GiB
	Stall time.Duration // time for each KiB of an answer; a minute
	Whole time.Duration // time for a whole index; 5 minutes
}

const (
	maxText    = 8 << 20 // bytes of an answer of the class Text
	maxFailure = 1 << 10 // bytes of the text that is recorded of an answer without success
	maxReading = 8       // indexes that are received at once
	maxEditing = 2       // indexes that are read and edited at once, which needs several times their size
)

// A Recorder passes requests of clients on to registries, and keeps the answers. It implements Handler.
type Recorder struct {
	o        Options
	at       *places
	problems *problems
	reading  chan struct{}
	editing  chan struct{}
	advising chan struct{}

	mu      sync.Mutex
	answers map[string]*answer // by request
	flights map[string]*flight
	known   map[string][]*File // what indexes promise, by request without variant
	named   map[string][]*File // the same for files without a request, by nameOf
	locked  map[string][]*File // what lock files promise, by request or by nameOf
	pinned  map[version2]bool  // versions that lock files name
	dates   map[string]time.Time
	logins  map[string]string // to which host a client's credentials went first
	leftOut map[version2]time.Time
	undated map[string]bool
	asides  map[string][]byte // answers to questions of a Checker

	asking singleflight.Group
}

// version2 names a version of a package.
type version2 struct{ name, version string }

// An answer is what a client was told, and for an index what is needed to prune it.
type answer struct {
	Answer        // without Text if that is packed
	packed []byte // Text, by gzip: a session may ask for a thousand indexes of some MB
	index  bool
	base   string // address of the index
	files  []File // that the index names, and the client was told of
	// notice waits for what the registry says against the version of a file; nil: it was not asked.
	notice func() string
}

// A flight is a request that is under way. When done is closed and failure is nil, there is an answer, or the client who asked first is gone.
type flight struct {
	done    chan struct{}
	failure *failure
}

// A failure is an answer that is not recorded.
type failure struct {
	status int
	header http.Header // may be nil
	text   string
	say    string // the problem, for the user; "" is text
}

func failf(status int, format string, args ...any) *failure {
	return &failure{status: status, text: fmt.Sprintf(format, args...)}
}

// NewRecorder returns a Recorder that has recorded nothing.
func NewRecorder(o *Options) (*Recorder, error) {
	r := &Recorder{
		o: *o, problems: newProblems(o.Log), reading: make(chan struct{}, maxReading), editing: make(chan struct{}, maxEditing), advising: make(chan struct{}, maxAdvising),
		answers: map[string]*answer{}, flights: map[string]*flight{}, known: map[string][]*File{}, named: map[string][]*File{}, locked: map[string][]*File{},
		pinned: map[version2]bool{}, dates: map[string]time.Time{}, logins: map[string]string{}, leftOut: map[version2]time.Time{}, undated: map[string]bool{},
		asides: map[string][]byte{},
	}
	r.o.Door, r.o.Base = cmp.Or(o.Door, DoorRegistry), cmp.Or(o.Base, Base)
	if r.o.Now == nil {
		r.o.Now = time.Now
	}
	if r.o.Transport == nil {
		r.o.Transport = NewTransport(o.Upstreams)
	}
	l := &r.o.Limits
	l.Index, l.File = cmp.Or(l.Index, 64<<20), cmp.Or(l.File, 16<<30)
	l.Stall, l.Whole = cmp.Or(l.Stall, time.Minute), cmp.Or(l.Whole, 5*time.Minute)
	var err error
	if r.at, err = newPlaces(o.Upstreams, r.o.Base); err != nil {
		return nil, err
	}
	r.Lock(o.Locked)
	return r, nil
}

// Lock adds files that lock files of the project name, as Options.Locked does. Their requests come from Request. Call it before clients come.
func (rec *Recorder) Lock(files []File) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for i := range files {
		f := &files[i]
		if f.Package != "" {
			rec.pinned[version2{f.Package, f.Version}] = true
			rec.locked[nameOf(f)] = append(rec.locked[nameOf(f)], f)
		}
		if f.Request.Alias != "" {
			key := f.Request.bare()
			rec.locked[key] = append(rec.locked[key], f)
		}
	}
}

// bare returns the text of a request without its variant: all forms of an index promise the same about a file.
func (r Request) bare() string {
	r.Variant = ""
	return r.String()
}

// nameOf is a key that no request has.
func nameOf(f *File) string { return f.Package + "\n" + f.Version + "\n" + f.Name }

// Request returns the request for an address, as adapters need it to read lock files: that of a registry, or of a host that it makes known.
func (rec *Recorder) Request(address string) Request {
	u, err := url.Parse(address)
	if err != nil {
		return Request{}
	}
	q, err := rec.at.locate(u, true)
	if err != nil {
		return Request{}
	}
	return q
}

// ServeHTTP implements http.Handler for DoorRegistry.
func (rec *Recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answerRegistry(rec, rec.problems, w, r)
}

// Answer implements Handler.
func (rec *Recorder) Answer(w http.ResponseWriter, r *http.Request, q Request) {
	w = &patient{w}
	if !methodAllowed(w, r, q, rec.problems) {
		return
	}
	var ask string
	q.Variant, ask = rec.o.Adapter.Variant(q.Path, r.Header.Get("Accept"))
	key := q.String()
	for r.Context().Err() == nil {
		a, f, lead := rec.begin(key)
		if lead {
			s := &stream{w: w, r: r, adapter: rec.o.Adapter}
			a = rec.run(r.Context(), q, ask, r.Header, s, f)
			if s.finish(a != nil) {
				return
			}
		}
		if a != nil {
			out, err := a.whole()
			if err == nil {
				if out.Kept != nil {
					noStore(rec.o.Adapter, w.Header())
				}
				err = send(w, r, out, rec.o.Files.Open)
			}
			if err != nil {
				rec.problems.add(key, "%v", err)
			}
			return
		}
		select {
		case <-f.done:
		case <-r.Context().Done():
			return
		}
		if f.failure != nil {
			f.failure.send(w, r)
			return
		}
	}
}

func (f *failure) send(w http.ResponseWriter, r *http.Request) {
	maps.Copy(w.Header(), f.header)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(f.status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, "nuka: "+f.text+"\n") // the client is gone
	}
}

// begin returns the answer to a request, or the flight that will have it. lead is true if the caller has to ask and to end the flight.
func (rec *Recorder) begin(key string) (a *answer, f *flight, lead bool) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if a = rec.answers[key]; a != nil {
		return a, nil, false
	}
	if f = rec.flights[key]; f != nil {
		return nil, f, false
	}
	f = &flight{done: make(chan struct{})}
	rec.flights[key] = f
	return nil, f, true
}

// run asks for a request and ends its flight. It returns nil if there is no answer. If the client who asked is gone, another one that waits asks again.
func (rec *Recorder) run(ctx context.Context, q Request, ask string, from http.Header, s *stream, f *flight) (a *answer) {
	key := q.String()
	fail := failf(http.StatusInternalServerError, "%s: the recorder failed", q) // of a panic in an adapter
	defer func() {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		switch {
		case a == nil && ctx.Err() == nil:
			f.failure = fail
		case a != nil && len(rec.answers) >= maxAnswers:
			a, f.failure = nil, failf(http.StatusServiceUnavailable, "more than %d requests in one recording", maxAnswers)
		case a != nil:
			rec.answers[key] = a
		}
		delete(rec.flights, key)
		close(f.done)
	}()
	a, fail = rec.ask(ctx, q, ask, from, s)
	if a != nil {
		a.pack()
	}
	switch {
	case a != nil:
		rec.problems.clear(key)
	case ctx.Err() == nil:
		rec.problems.add(key, "%s", cmp.Or(fail.say, fail.text))
	}
	return a
}

// Locate implements Handler.
func (rec *Recorder) Locate(r *http.Request, at string) (Request, error) {
	u, err := url.Parse(at + cmp.Or(r.URL.EscapedPath(), "/"))
	if err != nil {
		return Request{}, err
	}
	u.RawQuery = r.URL.RawQuery
	if at != rec.o.Base && !rec.at.named(at) && (rec.o.Allow == nil || !rec.o.Allow(at)) {
		return Request{}, fmt.Errorf("the client may not reach %.200s: it is no registry of the configuration, and no index names it", at)
	}
	return rec.at.locate(u, true)
}

// Refused implements Handler.
func (rec *Recorder) Refused(host, why string) {
	rec.problems.refuse("%s: %s", clip(host), why)
}

// Refusals returns what clients tried and must not do, in words for the user: reaching other hosts, and changing a registry. Problems has it, too.
func (rec *Recorder) Refusals() []string { return rec.problems.refusals() }

// Problems returns what went wrong, in words for the user: what clients print often hides it.
func (rec *Recorder) Problems() []string { return rec.problems.list() }

// LeftOut returns the versions that indexes did not name because of the cooldown, one line each, sorted, and then packages of which the registry does not tell
// when versions were released.
func (rec *Recorder) LeftOut() []string {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	var young, unknown []string
	for v, released := range rec.leftOut {
		young = append(young, rec.tooYoung(v, released))
	}
	for name := range rec.undated {
		unknown = append(unknown, fmt.Sprintf("%s: the registry does not tell when its versions were released, so there is no cooldown for it", name))
	}
	slices.Sort(young)
	slices.Sort(unknown)
	return append(young, unknown...)
}

func (rec *Recorder) tooYoung(v version2, released time.Time) string {
	return fmt.Sprintf("%s %s is younger than the cooldown of %s: it was released on %s", v.name, v.version, days(rec.o.Cooldown), released.UTC().Format(time.DateOnly))
}

func days(d time.Duration) string {
	if d >= 48*time.Hour && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.String()
}

// young reports whether a version must not be used yet. A version whose date the registry does not tell is used.
func (rec *Recorder) young(ctx context.Context, q Request, f *File, h http.Header) (released time.Time, young bool) {
	if rec.o.Cooldown <= 0 || f.Version == "" || rec.o.Exempt != nil && rec.o.Exempt(f.Package) {
		return time.Time{}, false
	}
	released = f.Released
	if released.IsZero() {
		released = rec.date(ctx, q, f.Version, h)
	}
	if released.IsZero() {
		rec.mu.Lock()
		rec.undated[f.Package] = true
		rec.mu.Unlock()
		return released, false
	}
	return released, rec.o.Now().Sub(released) < rec.o.Cooldown
}

// kept returns how the recording describes a file.
func (a *about) kept(hash pir.Hash, size int64) *Kept {
	k := &Kept{Hash: hash, Size: size}
	for _, f := range a.all() {
		k.Package, k.Version, k.License = cmp.Or(k.Package, f.Package), cmp.Or(k.Version, f.Version), cmp.Or(k.License, f.License)
		k.Weak, k.Notice = cmp.Or(k.Weak, f.Weak), cmp.Or(k.Notice, f.Notice)
		k.Released = cmp.Or(k.Released, released(f.Released))
		if k.Promised == "" && !f.Promised.IsZero() {
			k.Promised = f.Promised.String()
		}
		if k.Origin == nil {
			k.Origin = f.Origin
		}
	}
	return k
}
