package ecotest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MordragT/nuka/ecosystem"
)

// A fault makes a registry answer wrongly for one path, or for all if the path is "".
type fault struct {
	token string // of the fault "auth"

	mu   sync.Mutex
	path string
	kind string
}

func (f *fault) set(path, kind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.path, f.kind = path, kind
}

const (
	limit = 4 << 20                // bytes of an index or a file in the tests of faults
	stall = 700 * time.Millisecond // in those of slow registries
	page  = "<!DOCTYPE html>\n<html><head><title>Log in</title></head><body><form action=\"/login\"><input name=\"user\"></form></body></html>\n"
)

// serve answers a request, with the fault if it is for its path.
func (f *fault) serve(w http.ResponseWriter, r *http.Request, good http.Handler) {
	f.mu.Lock()
	kind := f.kind
	if f.path != "" && f.path != r.URL.EscapedPath() {
		kind = ""
	}
	other := strings.TrimPrefix(kind, "as ")
	f.mu.Unlock()
	if kind == "" || kind == "auth" && r.Header.Get("Authorization") == f.token {
		good.ServeHTTP(w, r)
		return
	}
	if other != kind { // the answer to another request
		r = r.Clone(r.Context())
		r.URL = &url.URL{Path: other}
		good.ServeHTTP(w, r)
		return
	}
	right := httptest.NewRecorder()
	good.ServeHTTP(right, r)
	body := right.Body.Bytes()
	switch kind {
	case "redirect loop":
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
		return
	case "inward":
		http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
		return
	case "auth", "login":
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	case "forbidden":
		http.Error(w, "no", http.StatusForbidden)
		return
	case "busy":
		w.Header().Set("Retry-After", "7")
		http.Error(w, "later", http.StatusTooManyRequests)
		return
	case "broken":
		http.Error(w, "oh", http.StatusInternalServerError)
		return
	case "page":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, page)
		return
	}
	for name, values := range right.Header() {
		w.Header()[name] = values
	}
	send(w, r, kind, body)
}

// send sends wrong bytes.
func send(w http.ResponseWriter, r *http.Request, kind string, body []byte) {
	switch kind {
	case "wrong byte":
		body = slices.Clone(body)
		body[len(body)-1] ^= 1
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write(body)
	case "truncated":
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "short": // a whole answer, with less in it
		w.Header().Set("Content-Length", fmt.Sprint(len(body)/2))
		_, _ = w.Write(body[:len(body)/2])
	case "endless":
		w.Header().Del("Content-Length")
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	case "too large":
		w.Header().Set("Content-Length", fmt.Sprint(limit+1))
		_, _ = w.Write(body)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "stalled":
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case "trickle":
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		for i := range body {
			_, _ = w.Write(body[i : i+1])
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(stall / 10):
			}
		}
	case "silent":
		<-r.Context().Done()
	case "bomb":
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		for range 2 * limit / (64 << 10) {
			_, _ = z.Write(make([]byte, 64<<10)) // of memory
		}
		_ = z.Close()
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Del("Content-Length")
		_, _ = w.Write(b.Bytes())
	default:
		panic("no such fault: " + kind)
	}
}

// testFaults lets the registry answer wrongly for an index or a file: the client gets an error or half an answer, nothing is kept, and afterwards all is well.
func (f *Fixture) testFaults(t *testing.T) {
	const cut = 0 // the connection
	both := []struct {
		kind   string
		status int
		says   string
		files  bool // for files only
		index  bool // for indexes only
	}{
		{kind: "wrong byte", status: cut, says: "not the one that was promised", files: true},
		{kind: "truncated", status: cut, says: "cut off"},
		{kind: "short", status: cut, says: "promised", files: true},
		{kind: "endless", status: http.StatusBadGateway, says: "larger than allowed"},
		{kind: "too large", status: http.StatusBadGateway, says: "", files: true},
		{kind: "too large", status: http.StatusBadGateway, says: "larger than allowed", index: true},
		{kind: "redirect loop", status: http.StatusBadGateway, says: "redirects more than"},
		{kind: "inward", status: http.StatusBadGateway, says: "address of this machine"},
		{kind: "page", status: http.StatusBadGateway, says: ""},
		{kind: "bomb", status: http.StatusBadGateway, says: "larger than allowed", index: true},
		{kind: "stalled", status: cut, says: "too slow"},
		{kind: "trickle", status: http.StatusGatewayTimeout, says: "too slow"},
		{kind: "silent", status: http.StatusGatewayTimeout, says: "too slow"},
		{kind: "login", status: http.StatusUnauthorized, says: "log in"},
		{kind: "forbidden", status: http.StatusForbidden, says: "login"},
		{kind: "busy", status: http.StatusTooManyRequests, says: "try again later"},
		{kind: "broken", status: http.StatusInternalServerError, says: "try again later"},
		{kind: "as " + f.OtherIndex, status: http.StatusBadGateway, says: "", index: true},
		{kind: "as " + f.OtherFile, status: http.StatusBadGateway, says: "promised", files: true},
	}
	for _, c := range both {
		for _, file := range []bool{false, true} {
			if file && c.index || !file && c.files || strings.HasPrefix(c.kind, "as ") && !file && f.Anonymous {
				continue
			}
			path, what := f.Index, "index"
			if file {
				path, what = f.OldFile, "file"
			}
			t.Run(what+"/"+strings.ReplaceAll(c.kind, "/", "_"), func(t *testing.T) {
				w := f.newWorld(t, func(o *ecosystem.Options) {
					o.Limits = ecosystem.Limits{Index: limit, File: limit}
					if c.says == "too slow" {
						o.Limits.Stall = stall
					}
				})
				for _, first := range f.First {
					w.good(first)
				}
				if file {
					w.good(f.Index)
				}
				before := len(w.kept())
				w.fault.set(path, c.kind)
				w.refused(path, c.status, c.says)
				if after := w.kept(); len(after) > before {
					t.Errorf("the store kept %v", after)
				}
				w.fault.set("", "")
				w.good(path)
				for _, problem := range w.rec.Problems() {
					if strings.Contains(problem, w.rec.Request(w.server.URL+path).String()) {
						t.Errorf("the problem is over, and it says %s", problem)
					}
				}
			})
		}
	}
}

// refused asks for a path, which must fail with a status; with 0, with a status or a cut connection.
func (w *world) refused(path string, status int, words string) {
	w.t.Helper()
	got := w.get(path)
	switch {
	case got.err != nil:
		if status != 0 {
			w.t.Errorf("got a cut connection (%v), want %d", got.err, status)
		}
	case status != 0 && got.status != status, got.status < 400:
		w.t.Errorf("got %d %.200s, want %d", got.status, got.body, status)
	}
	if len(w.rec.Problems()) == 0 || !says(w.rec.Problems(), words) {
		w.t.Errorf("problems: %q, want %q", w.rec.Problems(), words)
	}
	r, err := w.rec.Recording()
	if err != nil {
		w.t.Fatal(err)
	}
	q := w.rec.Request(w.server.URL + path)
	for i := range r.Answers {
		if a := r.Answers[i].Request; a.Alias == q.Alias && a.Path == q.Path {
			w.t.Errorf("it was recorded with status %d", r.Answers[i].Status)
		}
	}
}

// testDead asks a registry that does not answer any more.
func (f *Fixture) testDead(t *testing.T) {
	w := f.newWorld(t, nil)
	w.server.CloseClientConnections()
	w.server.Close()
	w.refused(f.Index, http.StatusBadGateway, "cannot be reached")
}

// testDowngrade lets a registry with encryption redirect to one without.
func (f *Fixture) testDowngrade(t *testing.T) {
	w := f.newWorld(t, nil)
	plain := w.server
	secure := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, plain.URL+r.URL.EscapedPath(), http.StatusFound)
	}))
	defer secure.Close()
	w = f.newWorld(t, func(o *ecosystem.Options) {
		o.Upstreams[0].URL = secure.URL + f.Root
		o.Transport = secure.Client().Transport
	})
	w.server = secure
	w.refused(f.Index, http.StatusBadGateway, "no encryption")
	w.server = plain
}
