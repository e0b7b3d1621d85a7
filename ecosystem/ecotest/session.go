package ecotest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/ecosystem"
)

// testReplay records a session twice, and replays it: files have the same bytes, and the recordings are the same text.
func (f *Fixture) testReplay(t *testing.T) {
	w := f.newWorld(t, nil)
	r, text := w.record()
	if !strings.HasPrefix(text, `{"answers":[`) || strings.Contains(text, w.server.URL) || strings.Contains(text, w.base) {
		t.Errorf("the recording names the registry's server or the port of the proxy:\n%.2000s", text)
	}
	if len(r.Answers) < len(f.session()) {
		t.Errorf("the recording has %d answers to %d requests", len(r.Answers), len(f.session()))
	}
	again := f.newWorld(t, nil)
	// The aliases of hosts come from their ports, which differ in tests only.
	_, second := again.record()
	alias, other := ecosystem.HostAlias(w.server.URL), ecosystem.HostAlias(again.server.URL)
	if strings.ReplaceAll(second, other, alias) != text {
		t.Errorf("two recordings differ:\n%s\n%s", text, second)
	}
	p, base := w.replay(r)
	_, base2 := w.replay(r)
	for _, path := range f.session() {
		recorded := w.good(path)
		address := w.at(base, path)
		got, got2 := get(t, http.MethodGet, address), get(t, http.MethodGet, w.at(base2, path))
		if got.err != nil || got.status != http.StatusOK || got.body == "" {
			t.Errorf("%s: replay got %d %v %.200s", path, got.status, got.err, got.body)
		}
		if strings.ReplaceAll(got2.body, base2, base) != got.body {
			t.Errorf("%s: two replays differ", path)
		}
		if path != f.Index && path != f.OtherIndex && strings.ReplaceAll(recorded, w.base, base) != got.body && f.Adapter.Classify(w.rec.Request(w.server.URL+path)) != ecosystem.Index {
			t.Errorf("%s: replay got %d bytes, and the recorder had %d", path, len(got.body), len(recorded))
		}
		head := get(t, http.MethodHead, address)
		if head.status != http.StatusOK || head.header.Get("Content-Length") != fmt.Sprint(len(got.body)) || head.body != "" {
			t.Errorf("%s: HEAD got %d, Content-Length %s, want %d", path, head.status, head.header.Get("Content-Length"), len(got.body))
		}
		part := get(t, http.MethodGet, address, "Range", "bytes=1-3")
		if part.status != http.StatusPartialContent || part.body != got.body[1:4] {
			t.Errorf("%s: a range got %d %q", path, part.status, part.body)
		}
		same := get(t, http.MethodGet, address, "If-None-Match", got.header.Get("ETag"))
		if same.status != http.StatusNotModified || got.header.Get("ETag") == "" {
			t.Errorf("%s: a conditional request got %d", path, same.status)
		}
	}
	if problems := p.Problems(); len(problems) > 0 {
		t.Errorf("problems: %s", problems)
	}
	unknown := get(t, http.MethodGet, base+"/"+f.Alias+"/not-recorded/")
	if unknown.status != http.StatusNotFound || !strings.Contains(unknown.body, "/not-recorded/") || !strings.Contains(unknown.body, "nuka lock") ||
		!says(p.Problems(), "/not-recorded/", "nuka lock") {
		t.Errorf("a request that was not recorded: got %d %s, problems %s", unknown.status, unknown.body, p.Problems())
	}
	post := get(t, http.MethodPost, w.at(base, f.Index))
	if post.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", post.status)
	}
}

// testPrune checks that indexes name what was asked for only, and promise the same about it.
func (f *Fixture) testPrune(t *testing.T) {
	w := f.newWorld(t, nil)
	whole := w.good(f.Index)
	if !strings.Contains(whole, f.Old) || !strings.Contains(whole, f.Young) {
		t.Fatalf("the index of the fixture does not name both versions:\n%s", whole)
	}
	r, _ := w.record()
	_, base := w.replay(r)
	pruned := get(t, http.MethodGet, w.at(base, f.Index), "Accept", f.Accept).body
	if !strings.Contains(pruned, f.Old) {
		t.Errorf("the index does not name the version that was asked for:\n%s", pruned)
	}
	if !f.Unpruned && strings.Contains(pruned, f.Young) {
		t.Errorf("the index goes on naming %s, which nobody asked for:\n%s", f.Young, pruned)
	}
	promise := func(text string) string {
		for _, file := range w.read(f.Index, text) {
			if file.Package == f.Package && file.Version == f.Old {
				return fmt.Sprint(file.Promised, file.Weak, file.Size)
			}
		}
		return ""
	}
	if got, want := promise(strings.ReplaceAll(pruned, base, w.base)), promise(whole); got != want {
		t.Errorf("the index promises %s in the recording, and %s before", got, want)
	}

	none := f.newWorld(t, nil) // of which no file was asked
	for _, path := range append(append([]string{}, f.First...), f.Index) {
		none.good(path)
	}
	r, _ = none.recording()
	_, base = none.replay(r)
	kept := get(t, http.MethodGet, none.at(base, f.Index), "Accept", f.Accept).body
	pinned := f.Locked != nil // lock files say what is needed
	if !strings.Contains(kept, f.Old) || !pinned && !strings.Contains(kept, f.Young) {
		t.Errorf("an index of which no file was asked was cut:\n%s", kept)
	}
}

// testNotice checks that a recording has what the registry says against a version, with its file.
func (f *Fixture) testNotice(t *testing.T) {
	w := f.newWorld(t, nil)
	for _, path := range f.session() {
		w.good(path)
	}
	r, _ := w.record()
	found := false
	for i := range r.Answers {
		k := r.Answers[i].Kept
		if k == nil || k.Package == "" || r.Answers[i].Request != w.rec.Request(w.server.URL+f.OldFile) && r.Answers[i].Request != w.rec.Request(w.server.URL+f.OtherFile) {
			continue
		}
		found = true
		want := ""
		if k.Package == f.Package {
			want = f.Notice
		}
		if k.Notice != want {
			t.Errorf("%s %s: got the notice %q, want %q", k.Package, k.Version, k.Notice, want)
		}
	}
	if !found {
		t.Error("the recording has no file of the package")
	}
}

// read lets the adapter read an index.
func (w *world) read(path, text string) []ecosystem.File {
	w.t.Helper()
	files, err := w.f.Adapter.Read(w.rec.Request(w.server.URL+path), w.server.URL+path, "", []byte(text), w.rec.Request)
	if err != nil {
		w.t.Errorf("%s: %v", path, err)
	}
	return files
}

// testAddresses checks that clients stay at the proxy.
func (f *Fixture) testAddresses(t *testing.T) {
	w := f.newWorld(t, nil)
	for _, path := range append(append([]string{}, f.First...), f.Index, f.OtherIndex) {
		if body := w.good(path); strings.Contains(body, w.server.URL) {
			t.Errorf("%s: the index leads clients to the registry:\n%s", path, body)
		}
	}
	// What the index says about a file is known at the address to which it leads.
	for _, file := range w.read(f.Index, w.good(f.Index)) {
		if file.Version == f.Old && file.Request.Alias != "" && strings.HasSuffix(f.OldFile, "/"+file.Name) {
			if got, want := file.Request, w.rec.Request(w.server.URL+f.OldFile); got != want {
				t.Errorf("the index leads to %s, want %s", got, want)
			}
		}
	}
	if body := get(t, http.MethodGet, w.base+"/x0123456789/any").body; !strings.Contains(body, "no index of this session named a host") {
		t.Errorf("an alias that nothing named: got %s", body)
	}
}

// testRequests checks HEAD, ranges and many clients at once while recording.
func (f *Fixture) testRequests(t *testing.T) {
	w := f.newWorld(t, nil)
	for _, path := range append(append([]string{}, f.First...), f.Index) {
		w.good(path)
	}
	address := w.at(w.base, f.OldFile)
	head := get(t, http.MethodHead, address)
	part := get(t, http.MethodGet, address, "Range", "bytes=1-3")
	whole := get(t, http.MethodGet, address)
	if head.status != http.StatusOK || head.header.Get("Content-Length") != fmt.Sprint(len(whole.body)) {
		t.Errorf("HEAD: got %d %s", head.status, head.header.Get("Content-Length"))
	}
	if part.status != http.StatusPartialContent || len(whole.body) < 4 || part.body != whole.body[1:4] {
		t.Errorf("a range: got %d %q", part.status, part.body)
	}
	if n := w.asked.of(f.OldFile); n != 1 {
		t.Errorf("the registry was asked %d times", n)
	}
	if len(whole.body) <= 128<<10 {
		t.Errorf("the old file of the fixture has %d bytes, and needs more than 128 KiB", len(whole.body))
	}

	many := f.newWorld(t, nil)
	for _, path := range append(append([]string{}, f.First...), f.Index) {
		many.good(path)
	}
	address = many.at(many.base, f.OldFile)
	replies := make(chan reply)
	for range 20 {
		go func() { replies <- get(t, http.MethodGet, address) }()
	}
	for range 20 {
		if r := <-replies; r.err != nil || r.body != whole.body {
			t.Errorf("one of many clients: got %d, %d bytes, %v", r.status, len(r.body), r.err)
		}
	}
	if n := many.asked.of(f.OldFile); n != 1 {
		t.Errorf("20 clients at once: the registry was asked %d times", n)
	}
}

// testCooldown checks that clients choose a version that is old enough.
func (f *Fixture) testCooldown(t *testing.T) {
	cool := func(o *ecosystem.Options) { o.Cooldown = 7 * 24 * time.Hour }
	w := f.newWorld(t, cool)
	for _, path := range f.First {
		w.good(path)
	}
	body := w.good(f.Index)
	if !strings.Contains(body, f.Old) {
		t.Errorf("the index does not name the old version:\n%s", body)
	}
	if f.Undated {
		if !strings.Contains(body, f.Young) || !says(w.rec.LeftOut(), f.Package, "does not tell when") {
			t.Errorf("got %v\n%s", w.rec.LeftOut(), body)
		}
		return
	}
	if strings.Contains(body, f.Young) || !says(w.rec.LeftOut(), f.Package, f.Young, "7 days") {
		t.Errorf("the index names the young version, or nobody says that it is left out; %v:\n%s", w.rec.LeftOut(), body)
	}
	pinned := w.get(f.YoungFile)
	if pinned.status != http.StatusForbidden || !strings.Contains(pinned.body, f.Young) || !says(w.rec.Problems(), f.Package, f.Young, "cooldown") {
		t.Errorf("a pinned young version: got %d %s, problems %v", pinned.status, pinned.body, w.rec.Problems())
	}
	w.good(f.OldFile)
	exempt := f.newWorld(t, func(o *ecosystem.Options) {
		cool(o)
		o.Exempt = func(name string) bool { return name == f.Package }
	})
	for _, path := range f.First {
		exempt.good(path)
	}
	if body := exempt.good(f.Index); !strings.Contains(body, f.Young) {
		t.Errorf("a package that is excepted has a cooldown:\n%s", body)
	}
	exempt.good(f.YoungFile)
}

// testCredentials checks that a registry with a login gets it, and that no recording has it.
func (f *Fixture) testCredentials(t *testing.T) {
	const secret = "c2VjcmV0LW9mLXRoZS11c2Vy"
	for _, own := range []bool{true, false} { // in the configuration, or by the client
		w := f.newWorld(t, func(o *ecosystem.Options) {
			if own {
				o.Upstreams[0].Header = http.Header{"Authorization": {"Bearer " + secret}}
			}
		})
		w.fault.set("", "auth")
		w.fault.token = "Bearer " + secret
		var headers []string
		if !own {
			headers = []string{"Authorization", "Bearer " + secret}
		}
		w.good(f.Index, headers...)
		if own {
			w.good(f.OldFile)
		}
		if _, text := w.recording(); strings.Contains(text, secret) {
			t.Error("the recording has the credentials")
		}
	}
}

// testStored checks that a file that the store has is not downloaded.
func (f *Fixture) testStored(t *testing.T) {
	w := f.newWorld(t, nil)
	_, first := w.record()
	if w.asked.of(f.OldFile) != 1 {
		t.Fatalf("the registry was asked %d times", w.asked.of(f.OldFile))
	}
	files := w.files
	again := f.newWorld(t, func(o *ecosystem.Options) { o.Files = files })
	_, second := again.record()
	strong := false
	for _, file := range w.read(f.Index, w.good(f.Index)) {
		strong = strong || file.Version == f.Old && !file.Promised.IsZero()
	}
	if n := again.asked.of(f.OldFile); strong && n != 0 {
		t.Errorf("the registry was asked %d times for a file that the store has", n)
	}
	alias, other := ecosystem.HostAlias(w.server.URL), ecosystem.HostAlias(again.server.URL)
	if strings.ReplaceAll(second, other, alias) != first {
		t.Errorf("the recording depends on what the store had:\n%s\n%s", first, second)
	}
}
