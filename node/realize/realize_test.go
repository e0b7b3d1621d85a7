package realize

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

// fakeBuilder writes the files that a build's closure text lists as "name=content" lines, with "@pid" for the path of an input.
// It replaces the build worker of package node/worker.
type fakeBuilder struct {
	built   atomic.Int32
	atOnce  atomic.Int32
	most    atomic.Int32
	entered chan pir.PID  // if set, receives the PID of each build that begins
	gate    chan struct{} // if set, builds wait for it
	salt    func() string
}

func (b *fakeBuilder) Build(ctx context.Context, job *Job) error {
	b.built.Add(1)
	if n := b.atOnce.Add(1); n > b.most.Load() {
		b.most.Store(n)
	}
	defer b.atOnce.Add(-1)
	if b.entered != nil {
		b.entered <- job.PID
	}
	if b.gate != nil {
		select {
		case <-b.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	fmt.Fprintf(job.Log, "building %s\n", job.PIR.Name)
	text := job.PIR.Build["nu"].(string)
	for _, line := range strings.Split(strings.Split(text, "#")[0], ";") {
		name, content, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			return fmt.Errorf("%s: exit code 1", line)
		}
		for dep, id := range job.PIR.Packages {
			content = strings.ReplaceAll(content, "@"+dep, StorePath+"/"+id.String())
		}
		if b.salt != nil {
			content += b.salt()
		}
		path := filepath.Join(job.Dir, "out", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// fakeFetcher writes the origin's name as a file.
type fakeFetcher struct {
	fetched atomic.Int32
	after   func(out string) // if set, called after the check of the output
	request func(*source.Request)
}

func (f *fakeFetcher) Fetch(ctx context.Context, r *source.Request) (pir.Hash, error) {
	f.fetched.Add(1)
	if f.request != nil {
		f.request(r)
	}
	if len(r.Origins) == 0 {
		return pir.Hash{}, protocol.Errorf(protocol.Unavailable, "no origin")
	}
	out := filepath.Join(r.Dir, source.Out)
	if err := os.WriteFile(out, []byte(r.Origins[0].Name), 0o644); err != nil {
		return pir.Hash{}, err
	}
	content, err := source.HashOut(ctx, r.Dir)
	if err != nil {
		return pir.Hash{}, err
	}
	digest := content.Digest()
	if f.after != nil {
		f.after(out)
	}
	return pir.NewHash(pir.B3, digest[:]), nil
}

type fixture struct {
	t       *testing.T
	dir     string
	store   *cas.Store
	builder *fakeBuilder
	fetcher *fakeFetcher
	r       *Realizer
	policy  *protocol.Policy
	mu      sync.Mutex
	given   []protocol.Package
	events  []protocol.Event
}

func newFixture(t *testing.T) *fixture { return newNode(t, 0, nil, nil) }

// newNode returns a fixture with a key of its own, peers to ask and a policy.
func newNode(t *testing.T, seed byte, peers Peers, policy *protocol.Policy) *fixture {
	f := &fixture{t: t, dir: t.TempDir(), builder: &fakeBuilder{}, fetcher: &fakeFetcher{}}
	if f.policy = policy; policy == nil {
		f.policy = &protocol.Policy{}
	}
	var err error
	if f.store, err = cas.Open(filepath.Join(f.dir, "store"), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.store.Close() })
	f.r, err = New(&Options{
		Store: f.store, Builder: f.builder, Fetcher: f.fetcher, Slots: NewSlots(4),
		Key: nodeKey(seed), Dir: filepath.Join(f.dir, "work"),
		Peers: peers, Policy: func() *protocol.Policy { return f.policy },
		Now: func() time.Time { return time.Unix(1_700_000_000, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// add adds a PIR to later requests and returns its PID.
func (f *fixture) add(p *pir.PIR, origins ...string) pir.PID {
	f.t.Helper()
	b, err := p.Encode()
	if err != nil {
		f.t.Fatal(err)
	}
	f.given = append(f.given, protocol.Package{PIR: string(b), Origins: origins, Name: p.Name})
	return pir.Sum(b)
}

func (f *fixture) build(name, text string, deps map[string]pir.PID) pir.PID {
	return f.add(&pir.PIR{Kind: pir.Build, Name: name, Packages: deps, Build: nuon.Record{"nu": text}})
}

func (f *fixture) request(wanted ...pir.PID) *Request {
	f.events = nil
	return &Request{Wanted: wanted, Packages: f.given, Event: func(e protocol.Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, e)
	}}
}

func (f *fixture) realize(wanted ...pir.PID) *protocol.Realized {
	f.t.Helper()
	got, err := f.r.Realize(f.t.Context(), f.request(wanted...))
	if err != nil {
		f.t.Fatal(err)
	}
	return got
}

// clean checks that no work in progress is left.
func (f *fixture) clean() {
	f.t.Helper()
	if left, _ := os.ReadDir(f.r.WorkDir()); len(left) > 0 {
		f.t.Errorf("left in the work folder: %v", left)
	}
}

func TestBuildAndPresent(t *testing.T) {
	f := newFixture(t)
	src := f.add(&pir.PIR{Kind: pir.Fetch, Hash: pir.NewHash(pir.SHA256, make([]byte, 32)), Unpack: pir.UnpackFile}, `{"kind":"crate","name":"n","version":"1"}`)
	lib := f.build("lib", "lib.a=L", nil)
	app := f.add(&pir.PIR{
		Kind: pir.Build, Name: "app", Packages: map[string]pir.PID{"lib": lib}, Src: pir.Src{One: src},
		Build: nuon.Record{"nu": "bin/app=\x00asm @lib; share/x=y"},
	})
	got := f.realize(app)
	if diff := cmp.Diff(map[protocol.Way]int{protocol.Built: 2, protocol.Fetched: 1}, got.Counts); diff != "" {
		t.Error(diff)
	}
	if got.Outputs[0].Way != protocol.Built || got.Outputs[0].Size == 0 {
		t.Errorf("output %+v", got.Outputs[0])
	}
	refs, err := f.r.Refs(app)
	if diff := cmp.Diff([]pir.PID{lib}, refs); diff != "" || err != nil {
		t.Errorf("references: %v %s", err, diff)
	}
	closure, err := f.r.Closure(app)
	if err != nil || len(closure) != 2 {
		t.Errorf("closure %v, %v; want app and lib", closure, err)
	}
	root, err := f.store.CID(app)
	if err != nil {
		t.Fatal(err)
	}
	program, err := f.store.Lookup(t.Context(), root, "bin/app")
	if err != nil || !program.Exec {
		t.Errorf("bin/app is not executable: %+v, %v", program, err)
	}
	again := f.realize(app)
	if diff := cmp.Diff(map[protocol.Way]int{protocol.Present: 2}, again.Counts); diff != "" || len(f.events) > 0 {
		t.Errorf("the second time: %s, events %v", diff, f.events)
	}
	if again.Outputs[0].CID != got.Outputs[0].CID || f.builder.built.Load() != 2 {
		t.Errorf("the second time: %+v after %d builds", again.Outputs[0], f.builder.built.Load())
	}
	log, err := os.ReadFile(f.r.LogPath(app))
	if err != nil || string(log) != "building app\n" {
		t.Errorf("log %q, %v", log, err)
	}
	f.clean()
}

// TestCutoff changes a comment in the description of a tool: the node builds the tool again, with the same content,
// and builds no package that depends on it.
func TestCutoff(t *testing.T) {
	f := newFixture(t)
	first := f.build("tool", "bin/tool=T", nil)
	mid := f.build("mid", "m=M", map[string]pir.PID{"tool": first})
	top := f.build("top", "t=T", map[string]pir.PID{"tool": first, "mid": mid})
	before := f.realize(top)
	second := f.build("tool", "bin/tool=T#comment", nil)
	mid = f.build("mid", "m=M", map[string]pir.PID{"tool": second})
	top = f.build("top", "t=T", map[string]pir.PID{"tool": second, "mid": mid})
	after := f.realize(top)
	if diff := cmp.Diff(map[protocol.Way]int{protocol.Built: 1, protocol.Cutoff: 2}, after.Counts); diff != "" {
		t.Error(diff)
	}
	if before.Outputs[0].CID != after.Outputs[0].CID || before.Outputs[0].PID == after.Outputs[0].PID {
		t.Errorf("before %+v, after %+v: want another PID with the same CID", before.Outputs[0], after.Outputs[0])
	}
	// A change of the content rebuilds the dependents.
	third := f.build("tool", "bin/tool=other", nil)
	mid = f.build("mid", "m=M", map[string]pir.PID{"tool": third})
	if got := f.realize(mid); got.Counts[protocol.Built] != 2 {
		t.Errorf("counts %v, want 2 built", got.Counts)
	}
}

// TestOneBuildPerPID realizes the same PID in several requests at once.
func TestOneBuildPerPID(t *testing.T) {
	f := newFixture(t)
	f.builder.gate = make(chan struct{})
	id := f.build("x", "x=x", nil)
	var wg sync.WaitGroup
	req := f.request(id)
	for range 10 {
		wg.Go(func() {
			if _, err := f.r.Realize(t.Context(), req); err != nil {
				t.Error(err)
			}
		})
	}
	time.AfterFunc(20*time.Millisecond, func() { close(f.builder.gate) })
	wg.Wait()
	if n := f.builder.built.Load(); n != 1 {
		t.Errorf("%d builds, want 1", n)
	}
}

// TestCancel cancels the building request; a waiting request takes over the build.
func TestCancel(t *testing.T) {
	f := newFixture(t)
	f.builder.gate, f.builder.entered = make(chan struct{}), make(chan pir.PID, 2)
	id := f.build("x", "x=x", nil)
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error), make(chan error)
	req := f.request(id)
	go func() { _, err := f.r.Realize(ctx, req); first <- err }()
	<-f.builder.entered
	go func() { _, err := f.r.Realize(t.Context(), req); second <- err }()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	<-f.builder.entered
	close(f.builder.gate)
	if err := <-second; err != nil {
		t.Error(err)
	}
	f.clean()
}

func TestFailure(t *testing.T) {
	f := newFixture(t)
	bad := f.build("bad", "oops", nil)
	top := f.build("top", "t=t", map[string]pir.PID{"bad": bad})
	req := f.request(top)
	_, err := f.r.Realize(t.Context(), req)
	e := protocol.AsError(err)
	if e == nil || e.Code != protocol.Failed || !strings.Contains(e.Message, "bad: oops: exit code 1") {
		t.Errorf("got %+v, want failed for bad", e)
	}
	if _, err := f.store.CID(bad); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("a failed build is bound: %v", err)
	}
	f.clean()
	req.KeepFailed = true
	if _, err := f.r.Realize(t.Context(), req); err == nil {
		t.Error("it succeeds the second time")
	}
	if left, _ := os.ReadDir(f.r.WorkDir()); len(left) != 1 {
		t.Errorf("kept %v, want the build folder", left)
	}
	// The next process removes the unfinished work of an earlier one.
	if _, err := New(&f.r.o); err != nil {
		t.Fatal(err)
	}
	f.clean()
}

func TestCheck(t *testing.T) {
	f := newFixture(t)
	id := f.build("x", "a/b=1; a-b=2; c=3", nil)
	req := f.request(id)
	req.Check = true
	got, err := f.r.Realize(t.Context(), req)
	if err != nil || got.Outputs[0].Way != protocol.Checked || f.builder.built.Load() != 2 {
		t.Errorf("got %+v, %v after %d builds", got, err, f.builder.built.Load())
	}
	before, err := f.store.CID(id)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	f.builder.salt = func() string { n++; return fmt.Sprint(n) }
	_, err = f.r.Realize(t.Context(), req)
	if e := protocol.AsError(err); e == nil || e.Code != protocol.Differs || !strings.Contains(e.Message, "a/b differs") {
		t.Errorf("got %+v, want that a/b differs", e)
	}
	if after, err := f.store.CID(id); err != nil || after != before {
		t.Errorf("a differing rebuild was bound: %s, %v", after, err)
	}
	for a, err := range f.store.Attestations(id) {
		if err != nil || a.CID != before {
			t.Errorf("signed for a differing rebuild: %v, %v", a.CID, err)
		}
	}
	f.clean()
}

// If another process changes a fetched file between the check of its hash and its import, the node refuses the file and binds nothing.
// The store hashes the bytes that it keeps, so a later change is not possible.
func TestFetchChangesAfterItsHash(t *testing.T) {
	for _, algorithm := range []pir.HashAlgorithm{pir.SHA256, pir.B3} {
		f := newFixture(t)
		f.fetcher.after = func(out string) {
			if err := os.WriteFile(out, []byte("changed"), 0o644); err != nil {
				t.Error(err)
			}
		}
		id := f.add(&pir.PIR{Kind: pir.Fetch, Hash: pir.NewHash(algorithm, make([]byte, 32)), Unpack: pir.UnpackFile}, `{"kind":"crate","name":"n","version":"1"}`)
		_, err := f.r.Realize(t.Context(), f.request(id))
		if protocol.CodeOf(err) != protocol.Mismatch {
			t.Errorf("%s: got %v, want a mismatch", algorithm, err)
		}
		if c, err := f.store.CID(id); !errors.Is(err, cas.ErrNotFound) {
			t.Errorf("%s: what was changed is bound: %s, %v", algorithm, c, err)
		}
		f.clean()
	}
}

func TestEnvAndData(t *testing.T) {
	f := newFixture(t)
	a := f.build("a", "bin/a=a; share/doc=same", nil)
	b := f.build("b", "bin/b=b; share/doc=same", nil)
	c := f.build("c", "share/doc=other", nil)
	env := f.add(&pir.PIR{Kind: pir.Env, Name: "env", Packages: map[string]pir.PID{"a": a, "b": b}})
	f.realize(env)
	root, err := f.store.CID(env)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for e, err := range f.store.Entries(t.Context(), root) {
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, e.Path)
	}
	if diff := cmp.Diff([]string{"", "bin", "bin/a", "bin/b", "share", "share/doc"}, paths); diff != "" {
		t.Error(diff)
	}
	bad := f.add(&pir.PIR{Kind: pir.Env, Name: "bad", Packages: map[string]pir.PID{"a": a, "c": c}})
	_, err = f.r.Realize(t.Context(), f.request(bad))
	if e := protocol.AsError(err); e == nil || !strings.Contains(e.Message, "a and c both have share/doc") {
		t.Errorf("got %+v, want a conflict that names both", e)
	}
	data := f.add(&pir.PIR{Kind: pir.Data, Name: "d", Data: nuon.Record{"k": int64(1)}})
	got := f.realize(data)
	if got.Outputs[0].Size != int64(len(`{"k":1}`)) {
		t.Errorf("value: %+v", got.Outputs[0])
	}
	f.clean()
}

func TestUnknown(t *testing.T) {
	f := newFixture(t)
	_, err := f.r.Realize(t.Context(), f.request(pir.Sum([]byte("?"))))
	if protocol.CodeOf(err) != protocol.NotFound {
		t.Errorf("got %v, want not-found", err)
	}
	if _, err := f.r.Realize(t.Context(), f.request()); protocol.CodeOf(err) != protocol.Invalid {
		t.Errorf("got %v, want invalid", err)
	}
}

// TestParallel checks that independent builds run at the same time, and no more of them than allowed.
func TestParallel(t *testing.T) {
	f := newFixture(t)
	f.builder.gate, f.builder.entered = make(chan struct{}), make(chan pir.PID, 16)
	deps := map[string]pir.PID{}
	for i := range 8 {
		name := fmt.Sprintf("d%d", i)
		deps[name] = f.build(name, name+"=x", nil)
	}
	top := f.build("top", "t=t", deps)
	done := make(chan error)
	req := f.request(top)
	go func() { _, err := f.r.Realize(t.Context(), req); done <- err }()
	for range 4 {
		<-f.builder.entered
	}
	close(f.builder.gate)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if most := f.builder.most.Load(); most != 4 {
		t.Errorf("%d builds at once, want 4", most)
	}
}

// If the store has the whole content that a fetch names by its hash, the node uses it; if a part is missing, the node fetches it again.
func TestFetchHeld(t *testing.T) {
	for _, gone := range []bool{false, true} {
		f := newFixture(t)
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, source.Out, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, source.Out, "sub", "a"), []byte("held"), 0o644); err != nil {
			t.Fatal(err)
		}
		content, err := f.r.Import(t.Context(), dir, source.Out, nil)
		if err != nil {
			t.Fatal(err)
		}
		if gone {
			e, err := f.store.Lookup(t.Context(), content, "sub/a")
			if err != nil {
				t.Fatal(err)
			}
			blob, err := f.store.BlobPath(e.CID)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(blob); err != nil {
				t.Fatal(err)
			}
			if _, err := f.store.OpenFile(t.Context(), e.CID); err == nil { // the store notices the missing blob
				t.Fatal("a file without its blob opens")
			}
		}
		digest := content.Digest()
		id := f.add(&pir.PIR{Kind: pir.Fetch, Hash: pir.NewHash(pir.B3, digest[:]), Unpack: pir.UnpackArchive}, `{"kind":"path"}`)
		got, err := f.r.Realize(t.Context(), f.request(id))
		switch {
		case gone && f.fetcher.fetched.Load() != 1:
			t.Errorf("with a blob gone: got %+v, %v and no fetch", got, err)
		case !gone && (err != nil || f.fetcher.fetched.Load() != 0 || got.Outputs[0].CID != content.String()):
			t.Errorf("got %+v, %v after %d fetches; want %s from the store", got, err, f.fetcher.fetched.Load(), content)
		}
	}
}
