// Package ecotest tests adapters of package ecosystem: each passes the same suite, with a registry of its own as a fixture.
//
// The suite records and replays through a Recorder and a Replayer with the adapter, and lets the registry answer wrongly in all the ways that the tests in
// faults.go list.
package ecotest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MordragT/nuka/ecosystem"
)

// Now is the time at which the suite runs. The old version of a Fixture was released at least 30 days before, and the young one at most two.
var Now = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)

// A Fixture is a registry with two packages: Package in two versions, of which one is young, and another one.
// Paths are those of the server, with a slash at the beginning; they need not be below Root.
type Fixture struct {
	Adapter ecosystem.Adapter
	Alias   string // of the registry, such as pypi
	Root    string // the path of the registry on its server, such as /simple
	// Handler answers for the registry and its files. server is its address without a slash at the end.
	Handler func(server string) http.Handler
	// Locked are the files of a lock file; nil none. The file OldFile needs a promise by Locked, by the index or by a proof.
	Locked func(server string) []ecosystem.File

	Package, Old, Young string
	// First are paths that clients ask before all others, such as config.json of cargo.
	First []string
	// Index names both versions of Package, OtherIndex those of the other package. Accept is what a client sends for indexes.
	Index, OtherIndex, Accept string
	// OldFile and YoungFile are files of Package, OtherFile is one of the other package. OldFile has more than 128 KiB.
	OldFile, YoungFile, OtherFile string
	// More are further paths that clients ask, such as metadata of the old version.
	More []string

	// Notice is what the registry says against the old version (ecosystem.NoticeOf), and against no other; "" nothing.
	Notice string
	// Undated says that the registry does not tell when versions were released.
	Undated bool
	// Anonymous says that an index does not tell of which package it is.
	Anonymous bool
	// Unpruned says that indexes are not cut.
	Unpruned bool
}

// session returns the paths that a client asks to install the old version.
func (f *Fixture) session() []string {
	all := append(append([]string{}, f.First...), f.Index, f.OtherIndex)
	return append(append(all, f.More...), f.OldFile, f.OtherFile)
}

// Run runs the suite.
func Run(t *testing.T, f *Fixture) {
	t.Run("replay", f.testReplay)
	t.Run("prune", f.testPrune)
	t.Run("notice", f.testNotice)
	t.Run("addresses", f.testAddresses)
	t.Run("requests", f.testRequests)
	t.Run("cooldown", f.testCooldown)
	t.Run("credentials", f.testCredentials)
	t.Run("stored", f.testStored)
	t.Run("faults", f.testFaults)
	t.Run("dead", f.testDead)
	t.Run("downgrade", f.testDowngrade)
}

// A world is a registry, and a recorder or a replayer in front of it.
type world struct {
	t      *testing.T
	f      *Fixture
	server *httptest.Server
	fault  *fault
	folder string
	files  *ecosystem.Folder
	rec    *ecosystem.Recorder
	base   string   // of the recorder
	asked  *counter // requests that reached the registry
}

type counter struct {
	mu sync.Mutex
	by map[string]int
}

func (c *counter) add(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[path]++
}

func (c *counter) of(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by[path]
}

// newWorld starts a registry and a recorder, which change changes.
func (f *Fixture) newWorld(t *testing.T, change func(*ecosystem.Options)) *world {
	t.Helper()
	w := &world{t: t, f: f, fault: &fault{}, folder: t.TempDir(), asked: &counter{by: map[string]int{}}}
	var handler http.Handler
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.add(r.URL.EscapedPath())
		w.fault.serve(rw, r, handler)
	}))
	handler = f.Handler(w.server.URL)
	t.Cleanup(func() {
		w.server.CloseClientConnections()
		w.server.Close()
	})
	var err error
	if w.files, err = ecosystem.NewFolder(w.folder); err != nil {
		t.Fatal(err)
	}
	o := &ecosystem.Options{
		Adapter: f.Adapter, Files: w.files, Now: func() time.Time { return Now },
		Upstreams: []ecosystem.Upstream{{Alias: f.Alias, Kind: f.Adapter.Kinds()[0], URL: w.server.URL + f.Root}},
	}
	if f.Locked != nil {
		o.Locked = f.Locked(w.server.URL)
	}
	if change != nil {
		change(o)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Base = "http://" + l.Addr().String()
	w.base = o.Base
	if w.rec, err = ecosystem.NewRecorder(o); err != nil {
		t.Fatal(err)
	}
	w.serve(l, w.rec)
	return w
}

func (w *world) serve(l net.Listener, h http.Handler) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ecosystem.Serve(ctx, l, h) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
}

// at returns the address at the recorder for a path of the registry's server.
func (w *world) at(base, path string) string {
	q := w.rec.Request(w.server.URL + path)
	if q.Alias == "" {
		w.t.Fatalf("the recorder has no request for %s", path)
	}
	return q.URL(base)
}

// A reply is what a client got.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // the connection was cut
}

// get asks for an address. Headers are pairs.
func get(t *testing.T, method, address string, headers ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(body), err}
}

// get asks the recorder for a path of the registry's server.
func (w *world) get(path string, headers ...string) reply {
	w.t.Helper()
	if path == w.f.Index || path == w.f.OtherIndex {
		headers = append([]string{"Accept", w.f.Accept}, headers...)
	}
	return get(w.t, http.MethodGet, w.at(w.base, path), headers...)
}

// good asks the recorder for a path, which must succeed.
func (w *world) good(path string, headers ...string) string {
	w.t.Helper()
	r := w.get(path, headers...)
	if r.err != nil || r.status != http.StatusOK {
		w.t.Fatalf("%s: got %d %s %v; %v", path, r.status, r.body, r.err, w.rec.Problems())
	}
	return r.body
}

// record asks for a session and returns the recording, after it was written and read.
func (w *world) record() (*ecosystem.Recording, string) {
	w.t.Helper()
	for _, path := range w.f.session() {
		w.good(path)
	}
	return w.recording()
}

func (w *world) recording() (*ecosystem.Recording, string) {
	w.t.Helper()
	r, err := w.rec.Recording()
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := r.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	if r, err = ecosystem.Decode(text); err != nil {
		w.t.Fatal(err)
	}
	return r, string(text)
}

// replay starts a replayer and returns its address.
func (w *world) replay(r *ecosystem.Recording) (*ecosystem.Replayer, string) {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	base := "http://" + l.Addr().String()
	p, err := ecosystem.NewReplayer(r, &ecosystem.ReplayOptions{Adapter: w.f.Adapter, Open: w.files.Open, Base: base})
	if err != nil {
		w.t.Fatal(err)
	}
	w.serve(l, p)
	return p, base
}

// kept returns the names of files in the store.
func (w *world) kept() (names []string) {
	w.t.Helper()
	err := filepath.WalkDir(w.folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return names
}

// says reports whether one of some texts has all words.
func says(texts []string, words ...string) bool {
	for _, text := range texts {
		all := true
		for _, w := range words {
			all = all && strings.Contains(text, w)
		}
		if all {
			return true
		}
	}
	return false
}
