package realize

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

// A work makes the content of one PID.
type work struct {
	g         *graph
	id        pir.PID
	pir       *pir.PIR
	canonical []byte
	origins   []byte
	contents  map[pir.PID]cid.CID // of the inputs
	name      string
	record    *Registry // of a build that records
	again     bool      // it checks an earlier build
}

// A made is the result of a work: content in the store.
type made struct {
	cid  cid.CID
	refs []pir.PID
	size int64
	way  protocol.Way
	cpu  time.Duration // of a build
}

func (w *work) run(ctx context.Context) (m made, err error) {
	release, err := w.slot(ctx)
	if err != nil {
		return made{}, err
	}
	defer release()
	switch w.pir.Kind {
	case pir.Fetch:
		m, err = w.fetch(ctx)
	case pir.Build, pir.Native:
		m, err = w.build(ctx)
	case pir.Env:
		m, err = w.merge(ctx)
	case pir.Data:
		m, err = w.data(ctx)
	}
	if err != nil || w.pir.Kind == pir.Env || w.record != nil { // merge has counted the size, and a build that records leaves nothing
		return m, err
	}
	m.size, err = w.g.r.size(ctx, m.cid)
	return m, err
}

// slot waits for a slot, then reports that the work begins. The caller calls release when the work has ended.
func (w *work) slot(ctx context.Context) (release func(), err error) {
	var releases []func()
	release = func() {
		w.g.end(w.id)
		for _, r := range releases {
			r()
		}
	}
	var places []Slots
	switch w.pir.Kind {
	case pir.Fetch:
		places = []Slots{w.g.r.fetches}
	case pir.Build, pir.Native:
		places = []Slots{w.g.r.o.Slots}
		if w.g.jobs != nil {
			places = []Slots{w.g.jobs, w.g.r.o.Slots}
		}
	case pir.Env, pir.Data: // they take no time
	}
	waits := sync.OnceFunc(func() {
		w.g.event(protocol.Event{Kind: protocol.EventWait, PID: w.id, Name: w.name, What: w.pir.Kind})
	})
	for _, place := range places {
		r, ok := place.take()
		if !ok {
			waits()
			if r, err = place.Take(ctx); err != nil {
				release()
				return nil, err
			}
		}
		releases = append(releases, r)
	}
	w.g.begin(w.id, w.pir, w.name)
	return release, nil
}

// held returns the content that a fetch names by its own hash, if the store has all of it.
// The node then contacts no origin. Content that `fetch path` names always arrives this way, by an earlier upload.
func (r *Realizer) held(p *pir.PIR, lease *cas.Lease) (cid.CID, bool, error) {
	for _, content := range p.Hash.CIDs() {
		lease.Keep(content)
		if ok, err := r.o.Store.Has(content); err != nil || !ok {
			if err != nil {
				return cid.CID{}, false, err
			}
			continue
		}
		missing, err := r.o.Store.Missing(context.Background(), content)
		if err != nil || len(missing) == 0 {
			return content, err == nil, err
		}
	}
	return cid.CID{}, false, nil
}

func (w *work) fetch(ctx context.Context) (made, error) {
	r := w.g.r
	if content, ok, err := w.g.known.held(w.pir); err != nil || ok {
		return made{cid: content, way: protocol.Present}, err
	}
	origins, err := splitOrigins(w.origins)
	if err != nil {
		return made{}, err
	}
	dir, err := os.MkdirTemp(r.WorkDir(), "fetch-")
	if err != nil {
		return made{}, err
	}
	defer removeAll(dir)
	if err := os.Chmod(dir, pass); err != nil {
		return made{}, err
	}
	fetcher := r.o.Fetcher
	if w.g.req.Offline {
		fetcher = r.o.Offline
	}
	checked, err := fetcher.Fetch(ctx, &source.Request{
		Origins: origins, Hash: w.pir.Hash, Unpack: w.pir.Unpack, Strip: w.pir.Strip, Dir: dir,
		Registries: w.g.req.Registries, Anonymous: !w.g.req.Local,
		Notice: func(text string) {
			w.g.event(protocol.Event{Kind: protocol.EventNote, PID: w.id, Name: w.name, What: pir.Fetch, Text: text})
		},
		Progress: func(done, total int64) {
			w.g.event(protocol.Event{Kind: protocol.EventProgress, PID: w.id, Name: w.name, What: pir.Fetch, Done: done, Total: total})
		},
	})
	if err != nil {
		return made{}, err
	}
	content, err := w.g.r.take(ctx, filepath.Join(dir, source.Out), nil, w.g.req.Lease)
	if err != nil {
		return made{}, err
	}
	// The bytes on disk might have changed since the fetcher checked them, so the check uses the content that the store has kept.
	kept := pir.HashOf(content)
	if kept != checked || w.pir.Hash.Algorithm == pir.B3 && kept != w.pir.Hash {
		return made{}, protocol.Errorf(protocol.Mismatch, "fetch %s: the files changed during the import", w.name)
	}
	return made{cid: content, way: protocol.Fetched}, nil
}

func (w *work) build(ctx context.Context) (made, error) {
	r := w.g.r
	dir, err := os.MkdirTemp(r.WorkDir(), "build-"+w.pir.Name+"-")
	if err != nil {
		return made{}, err
	}
	keep := false
	defer func() {
		if !keep {
			removeAll(dir)
		}
	}()
	for _, sub := range []string{"build", "out", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return made{}, err
		}
	}
	inputs, err := w.inputs()
	if err != nil {
		return made{}, err
	}
	log, err := w.openLog()
	if err != nil {
		return made{}, err
	}
	_, given := w.g.known.given[w.id] // else the PIR comes from the store, and any caller may have sent it
	job := &Job{
		PID: w.id, PIR: w.pir, Canonical: w.canonical, Inputs: inputs, Local: given && w.g.req.Local, Dir: dir, Log: log, Prepare: w.prepare, Cores: w.g.req.Cores,
		Recording: w.contents[w.pir.Recording], Record: w.record, Again: w.again,
	}
	err = r.o.Builder.Build(ctx, job)
	log.close(err)
	if ctx.Err() != nil {
		return made{}, ctx.Err()
	}
	if err != nil {
		if keep = w.g.req.KeepFailed; keep {
			w.g.event(protocol.Event{Kind: protocol.EventNote, PID: w.id, Name: w.name, Text: "the build folder is kept: " + dir})
		}
		e := protocol.AsError(err)
		if e.Code == protocol.Internal {
			e.Code = protocol.Failed
		}
		e.Message = "build " + w.name + ": " + e.Message
		if e.Hint == "" {
			e.Hint = "its whole output: nuka log " + w.id.Short()
		}
		return made{}, e
	}
	if w.record != nil {
		return made{way: protocol.Built}, nil
	}
	out := filepath.Join(dir, "out")
	if err := w.noteStray(out); err != nil {
		return made{}, err
	}
	content, err := w.g.r.take(ctx, out, isProgram(out), w.g.req.Lease)
	if err != nil {
		return made{}, w.unkept(err)
	}
	candidates := make([]pir.PID, len(inputs))
	for i, in := range inputs {
		candidates[i] = in.PID
	}
	refs, err := r.o.Store.ScanRefs(ctx, content, candidates)
	if err != nil {
		return made{}, err
	}
	if runtime, ok := w.pir.RunsIn(); ok { // its programs need it, whether or not a file names it
		refs = append(refs, runtime)
	}
	return made{cid: content, refs: protocol.SortRefs(refs), way: protocol.Built, cpu: job.CPU}, nil
}

// unkept returns the error for an output that cannot be imported. A native program can make what no tree holds, such as a FIFO: then the build has failed, and
// not the node.
func (w *work) unkept(err error) error {
	if w.pir.Kind != pir.Native || protocol.CodeOf(err) != protocol.Internal {
		return err
	}
	return protocol.Errorf(protocol.Failed, "keep the output of %s: %w", w.name, err).
		WithHint("an output holds files, folders and symbolic links only, and this node must be able to read them")
}

// isProgram returns a function that reports whether a file of an output is a program, which is then executable: see README.md.
func isProgram(out string) func(string, fs.FileInfo) bool {
	return func(name string, info fs.FileInfo) bool {
		if info.Mode()&0o111 != 0 {
			return true
		}
		if path.Dir(name) != "bin" {
			return false
		}
		f, err := os.Open(filepath.Join(out, "bin", path.Base(name)))
		if err != nil {
			return false
		}
		defer f.Close()
		magic := make([]byte, 4)
		n, _ := io.ReadFull(f, magic)
		return string(magic[:n]) == "\x00asm" || n >= 2 && string(magic[:2]) == "#!"
	}
}

// inputs returns the packages that the build sees.
func (w *work) inputs() ([]Input, error) {
	inputs, err := w.g.r.Closure(w.pir.Tools()...)
	if err != nil {
		return nil, err
	}
	const src = "/nuka/src"
	if one := w.pir.Src.One; !one.IsZero() {
		inputs = append(inputs, Input{Path: src, PID: one, CID: w.contents[one]})
	}
	for name, id := range w.pir.Src.Named {
		inputs = append(inputs, Input{Path: src + "/" + name, PID: id, CID: w.contents[id]})
	}
	slices.SortFunc(inputs, func(a, b Input) int { return strings.Compare(a.Path, b.Path) })
	return inputs, nil
}

// data writes a value to a file as canonical NUON.
func (w *work) data(ctx context.Context) (made, error) {
	text, err := nuon.Encode(w.pir.Data)
	if err != nil {
		return made{}, err
	}
	dir, err := os.MkdirTemp(w.g.r.WorkDir(), "data-")
	if err != nil {
		return made{}, err
	}
	defer removeAll(dir)
	file := filepath.Join(dir, "value.nuon")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return made{}, err
	}
	content, err := w.g.r.take(ctx, file, nil, w.g.req.Lease)
	return made{cid: content, way: protocol.Merged}, err
}

// prepareNotice is the time after which prepare reports a compilation. Most compilations take less.
const prepareNotice = time.Second

// A preparation is a compilation of a program that builds of a request wait for.
type preparation struct {
	waiting int  // builds
	told    bool // by an event
}

// preparations are the compilations that builds of a request wait for, by the names of their events.
type preparations struct {
	mu   sync.Mutex // held while events are sent, so that they come in order
	list map[string]*preparation
}

// prepare reports that a program is being compiled for this machine, if the compilation takes longer than prepareNotice. The caller calls done
// when the compilation has ended. Several builds may wait for one compilation: it is told once, until the last of them has it.
func (w *work) prepare(program string) (done func()) {
	g, name := w.g, "prepare "+program+" for this machine, once"
	e := protocol.Event{PID: pir.Sum([]byte(name)), Name: name}
	g.preparing.mu.Lock()
	defer g.preparing.mu.Unlock()
	p := g.preparing.list[name]
	if p == nil {
		p = &preparation{}
		if g.preparing.list == nil {
			g.preparing.list = map[string]*preparation{}
		}
		g.preparing.list[name] = p
		time.AfterFunc(prepareNotice, func() {
			g.preparing.mu.Lock()
			defer g.preparing.mu.Unlock()
			if p.waiting == 0 {
				return
			}
			p.told = true
			e.Kind = protocol.EventStart
			g.event(e)
		})
	}
	p.waiting++
	return func() {
		g.preparing.mu.Lock()
		defer g.preparing.mu.Unlock()
		if p.waiting--; p.waiting > 0 {
			return
		}
		delete(g.preparing.list, name)
		if p.told {
			e.Kind = protocol.EventDone
			g.event(e)
		}
	}
}
