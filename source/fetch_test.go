package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"github.com/MordragT/nuka/source/kind"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

func sha(b []byte) pir.Hash {
	sum := sha256.Sum256(b)
	return pir.NewHash(pir.SHA256, sum[:])
}

func fetcher(o Options) *Fetcher {
	o.Backoff = time.Millisecond
	return New(&o)
}

// fetchURL fetches one address as a file and returns its content.
func fetchURL(t *testing.T, f *Fetcher, address string, want pir.Hash) (string, pir.Hash, error) {
	t.Helper()
	dir := t.TempDir()
	got, err := f.Fetch(t.Context(), &Request{
		Origins: []Origin{{Kind: URL, URL: address}}, Hash: want, Unpack: pir.UnpackFile, Dir: dir,
	})
	body, _ := os.ReadFile(filepath.Join(dir, Out))
	if err != nil {
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("after %v these stay: %v", err, left)
		}
	}
	return string(body), got, err
}

func TestFetchHash(t *testing.T) {
	body := []byte("content")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }))
	defer server.Close()
	f := fetcher(Options{})
	got, tree, err := fetchURL(t, f, server.URL+"/x", sha(body))
	if err != nil || got != "content" {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, again, err := fetchURL(t, f, server.URL+"/x", tree); err != nil || again != tree {
		t.Errorf("by the hash of the tree: %s, %v; want %s", again, err, tree)
	}
	for _, wrong := range []pir.Hash{sha([]byte("other")), pir.NewHash(pir.B3, make([]byte, 32))} {
		_, _, err := fetchURL(t, f, server.URL+"/x", wrong)
		e := protocol.AsError(err)
		right := sha(body)
		if wrong.Algorithm == pir.B3 {
			right = tree
		}
		if e == nil || e.Code != protocol.Mismatch || !strings.Contains(e.Hint, right.String()) {
			t.Errorf("%s: got %+v, want a mismatch whose hint has %s", wrong, e, right)
		}
	}
	if _, learned, err := fetchURL(t, f, server.URL+"/x", pir.Hash{}); err != nil || learned != tree {
		t.Errorf("without a hash: %s, %v; want %s", learned, err, tree)
	}
}

// TestRetryAndResume breaks the connection several times; each retry must request only the remaining bytes.
func TestRetryAndResume(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var served atomic.Int64
	var tries atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := tries.Add(1)
		if n == 1 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("ETag", `"v1"`)
		rest := body
		if from := r.Header.Get("Range"); from != "" {
			var at int
			fmt.Sscanf(from, "bytes=%d-", &at)
			rest = body[at:]
			w.Header().Set("Content-Length", fmt.Sprint(len(rest)))
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, len(body)-1, len(body)))
			w.WriteHeader(http.StatusPartialContent)
		} else {
			w.Header().Set("Content-Length", fmt.Sprint(len(rest)))
		}
		if n < 4 {
			rest = rest[:len(rest)/2]
		}
		served.Add(int64(len(rest)))
		w.Write(rest)
		if n < 4 {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	got, _, err := fetchURL(t, fetcher(Options{}), server.URL, sha(body))
	if err != nil || got != string(body) {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
	if served.Load() != int64(len(body)) {
		t.Errorf("served %d bytes for %d: downloads were not resumed", served.Load(), len(body))
	}
}

// TestResumeLater gives up in the first call and resumes in a second one, as after a restart.
func TestResumeLater(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 1<<20)
	etag, broken := `"v1"`, true
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", etag)
		if broken {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			w.Write(body[:len(body)/2])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		counted := &countingWriter{w, &served}
		http.ServeContent(counted, r, "", time.Time{}, bytes.NewReader(body))
	}))
	defer server.Close()
	partial := t.TempDir()
	f := fetcher(Options{Partial: partial, Retries: -1})
	if _, _, err := fetchURL(t, f, server.URL, sha(body)); protocol.CodeOf(err) != protocol.Unavailable {
		t.Fatalf("got %v, want unavailable", err)
	}
	broken = false
	if _, _, err := fetchURL(t, f, server.URL, sha(body)); err != nil {
		t.Fatal(err)
	}
	if served.Load() != int64(len(body)/2) {
		t.Errorf("served %d bytes, want the other half of %d", served.Load(), len(body))
	}
	// If the content has changed, the old half is discarded.
	broken = true
	if _, _, err := fetchURL(t, f, server.URL, sha(body)); err == nil {
		t.Fatal("broken download succeeded")
	}
	broken, etag, body = false, `"v2"`, bytes.Repeat([]byte("y"), 1<<20)
	_, _, err := fetchURL(t, f, server.URL, sha(bytes.Repeat([]byte("x"), 1<<20)))
	if protocol.CodeOf(err) != protocol.Mismatch {
		t.Errorf("got %v, want a mismatch", err)
	}
	if left, _ := os.ReadDir(partial); len(left) != 0 {
		t.Errorf("wrong bytes are kept to be resumed: %v", left)
	}
}

type countingWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (w *countingWriter) Write(b []byte) (int, error) {
	w.n.Add(int64(len(b)))
	return w.ResponseWriter.Write(b)
}

func TestRedirects(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("secret")) }))
	defer plain.Close()
	target := ""
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) }))
	defer secure.Close()
	for name, to := range map[string]string{
		"https to http": plain.URL, "file": "file:///etc/passwd", "link-local": "https://169.254.169.254/latest",
	} {
		target = to
		f := fetcher(Options{Transport: secure.Client().Transport})
		// The error must be our own refusal, not that of a transport that does not know the scheme or the address.
		if got, _, err := fetchURL(t, f, secure.URL, pir.Hash{}); !errors.Is(err, errRefused) || got != "" {
			t.Errorf("%s: got %q, %v; want a refusal", name, got, err)
		}
		if got, err := f.Get(t.Context(), secure.URL, 100); !errors.Is(err, errRefused) || len(got) > 0 {
			t.Errorf("%s: get: got %q, %v; want a refusal", name, got, err)
		}
	}
	// A redirect from a public address to a private one.
	outside := fetcher(Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host == "outside.invalid" {
			return &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {plain.URL}}, Body: http.NoBody, Request: r}, nil
		}
		return http.DefaultTransport.RoundTrip(r)
	})})
	if got, _, err := fetchURL(t, outside, "http://outside.invalid/x", pir.Hash{}); err == nil || got != "" {
		t.Errorf("redirect to loopback: got %q, %v; want an error", got, err)
	}
	if err := refuseLinkLocal(t.Context(), "tcp", "169.254.169.254:80", nil); !errors.Is(err, errRefused) {
		t.Errorf("dialling a link-local address: %v", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

func TestOfflineAndCancel(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	if _, _, err := fetchURL(t, fetcher(Options{Offline: true}), server.URL, pir.Hash{}); protocol.CodeOf(err) != protocol.Offline {
		t.Errorf("got %v, want offline", err)
	}
	if asked.Load() != 0 {
		t.Error("offline, but the server was asked")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := fetcher(Options{}).Fetch(ctx, &Request{Origins: []Origin{{Kind: URL, URL: server.URL}}, Dir: t.TempDir()})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}

func TestDownloadLimit(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 64 { // no Content-Length
			w.Write(make([]byte, 1<<16))
			w.(http.Flusher).Flush()
		}
	}))
	defer server.Close()
	_, _, err := fetchURL(t, fetcher(Options{Limits: Limits{Download: 1 << 20}}), server.URL, pir.Hash{})
	if protocol.CodeOf(err) != protocol.Exhausted {
		t.Errorf("got %v, want exhausted", err)
	}
}

// TestCaptivePortal serves a login page with status 200 instead of the archive.
func TestCaptivePortal(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("<html>please log in</html>"))
	}))
	defer server.Close()
	dir := t.TempDir()
	_, err := fetcher(Options{}).Fetch(t.Context(), &Request{Origins: []Origin{{Kind: URL, URL: server.URL}}, Dir: dir})
	if protocol.CodeOf(err) != protocol.Invalid {
		t.Errorf("got %v, want invalid", err)
	}
}

// TestRegistries resolves and fetches from registries that only client configuration names.
func TestRegistries(t *testing.T) {
	archive := makeTar(t, file("p/a", "A"))
	module := makeZip(t, "example.org/m@v1.0.0/a")
	sums := sha(archive)
	var base string
	answers := map[string]string{
		"/npm/@s%2fp/1.0.0":                             `{"version":"1.0.0","dist":{"tarball":"BASE/files/p.tgz","integrity":"sha512-x"}}`,
		"/simple/my-pkg/":                               `<html><a href="../../files/p.tgz#sha256=00">my_pkg-1.0.tar.gz</a> <a href="x.whl">my_pkg-1.0-py3-none-any.whl</a></html>`,
		"/index/config.json":                            `{"dl":"BASE/crates/{prefix}/{crate}/{version}"}`,
		"/index/de/mo/demo":                             `{"name":"demo","vers":"1.0.0","cksum":"00"}`,
		"/go/example.org/m/@v/v1.0.0.info":              `{"Version":"v1.0.0"}`,
		"/crates/de/mo/demo/1.0.0":                      string(archive),
		"/go/example.org/m/@v/v1.0.0.zip":               string(module),
		"/go/example.org/m/@v/v1.0.0.mod":               "module example.org/m\n",
		"/debian/dists/s/main/source/Sources.gz":        "",
		"/debian/pool/main/h/hello/hello_2.orig.tar.gz": string(archive),
		"/debian/dists/s/main/binary-all/Packages.gz":   "",
		"/files/p.tgz":                                  string(archive),
	}
	token := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := answers[r.URL.EscapedPath()]
		if strings.HasPrefix(r.URL.Path, "/npm/") {
			token = r.Header.Get("Authorization")
		}
		if !ok || body == "" {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte(strings.ReplaceAll(body, "BASE", base)))
	}))
	defer server.Close()
	base = server.URL
	home, system := t.TempDir(), t.TempDir()
	write := func(path, content string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(content, "BASE", base)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, address, _ := strings.Cut(base, ":")
	write(filepath.Join(home, ".npmrc"), "# mine\n@s:registry=BASE/npm/\n"+address+"/npm/:_authToken=t0ken\n")
	write(filepath.Join(home, ".config/pip/pip.conf"), "[global]\nindex-url = BASE/simple\n")
	write(filepath.Join(home, ".cargo/config.toml"), "[source.crates-io]\nreplace-with = \"mine\"\n[source.mine]\nregistry = \"sparse+BASE/index/\"\n")
	write(filepath.Join(system, "etc/apt/sources.list.d/d.sources"), "Types: deb\nURIs: BASE/debian\nSuites: s\nComponents: main\n")
	client := &Client{Home: home, System: system, Getenv: func(name string) string {
		return map[string]string{"GOPROXY": base + "/go,direct"}[name]
	}}
	f := fetcher(Options{Client: client, Retries: -1})
	for _, o := range []Origin{
		{Kind: NPM, Name: "@s/p", Version: "1.0.0"},
		{Kind: PyPI, Name: "My.Pkg", Version: "1.0"},
		{Kind: Crate, Name: "demo", Version: "1.0.0"},
		{Kind: Go, Name: "example.org/m", Version: "v1.0.0"},
		{Kind: DebSrc, Name: "hello", Version: "1:2-3"},
	} {
		hash, strip := sums, 1
		if o.Kind == Go {
			hash, strip = sha(module), 2
		}
		dir := t.TempDir()
		if _, err := f.Fetch(t.Context(), &Request{Origins: []Origin{o}, Hash: hash, Dir: dir, Strip: strip}); err != nil {
			t.Errorf("%s: %v", o, err)
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, Out, "a")); err != nil {
			t.Errorf("%s: %v", o, err)
		}
	}
	dir := t.TempDir()
	mod := Origin{Kind: Go, Name: "example.org/m", Version: "v1.0.0", Flags: kind.Fields{"mod": "true"}}
	if _, err := f.Fetch(t.Context(), &Request{Origins: []Origin{mod}, Hash: sha([]byte("module example.org/m\n")), Unpack: pir.UnpackFile, Dir: dir}); err != nil {
		t.Errorf("%s --mod: %v", mod, err)
	}
	if token != "Bearer t0ken" {
		t.Errorf("npm was asked with authorization %q", token)
	}
	// Without any setting the error names one.
	bare := fetcher(Options{})
	for kind, setting := range map[OriginKind]string{NPM: ".npmrc", PyPI: "PIP_INDEX_URL", Crate: "config.toml", Go: "GOPROXY", Deb: "sources.list"} {
		_, err := bare.Fetch(t.Context(), &Request{Origins: []Origin{{Kind: kind, Name: "x", Version: "1"}}, Dir: t.TempDir()})
		if e := protocol.AsError(err); e == nil || !strings.Contains(e.Hint, setting) {
			t.Errorf("%s without a setting: %+v, want a hint with %s", kind, e, setting)
		}
	}
}

func TestDebianIndex(t *testing.T) {
	index := "Package: other\nVersion: 1\nFilename: pool/o.deb\n\nPackage: hello\nVersion: 2-1\nFilename: pool/h.deb\nDirectory: pool/h\nChecksums-Sha256:\n aa 1 hello_2.dsc\n bb 2 hello_2.orig.tar.xz\n cc 3 hello_2.orig.tar.xz.asc\n"
	stanza, _ := findDebian(strings.NewReader(index), Origin{Kind: Deb, Name: "hello", Version: "2-1"})
	if stanza["filename"] != "pool/h.deb" || stanza["directory"] != "pool/h" {
		t.Errorf("got %v", stanza)
	}
	got := oneLineSources([]byte("# x\ndeb [arch=amd64 signed-by=/k] http://h/debian/ s main contrib # y\ndeb cdrom:x s main\n"))
	want := []aptSource{{"http://h/debian", "s", []string{"main", "contrib"}, "/k"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(aptSource{})); diff != "" {
		t.Error(diff)
	}
}

func TestH1(t *testing.T) {
	module := makeZip(t, "example.org/m@v1.0.0/go.mod")
	// h1 is the SHA-256 of "<sha256 of the file>  <name>\n" lines (golang.org/x/mod/sumdb/dirhash).
	inner := sha256.Sum256([]byte("zz"))
	outer := sha256.Sum256(fmt.Appendf(nil, "%x  example.org/m@v1.0.0/go.mod\n", inner))
	want, err := pir.ParseHash("h1:" + base64.StdEncoding.EncodeToString(outer[:]))
	if err != nil {
		t.Fatal(err)
	}
	if err := checkH1(bytes.NewReader(module), int64(len(module)), want); err != nil {
		t.Error(err)
	}
	if err := checkH1(bytes.NewReader(module), int64(len(module)), pir.NewHash(pir.H1, make([]byte, 32))); protocol.CodeOf(err) != protocol.Mismatch {
		t.Errorf("got %v, want a mismatch", err)
	}
}

func TestOrigin(t *testing.T) {
	for _, o := range []Origin{
		{Kind: URL, URL: "https://h/x"}, {Kind: Git, URL: "https://h/x", Flags: kind.Fields{"rev": "v1"}}, {Kind: NPM, Name: "@s/p", Version: "1"},
		{Kind: DebSrc, Name: "zlib", Version: "1:2~dfsg-1", Flags: kind.Fields{"file": "*"}}, {Kind: Path},
	} {
		b, err := o.Encode()
		if err != nil {
			t.Errorf("%s: %v", o, err)
			continue
		}
		back, err := ParseOrigin(b)
		if err != nil || !reflect.DeepEqual(back, o) {
			t.Errorf("%s reads back as %+v, %v", b, back, err)
		}
	}
	for _, bad := range []Origin{
		{}, {Kind: URL, URL: "file:///etc/passwd"}, {Kind: URL, URL: "x"}, {Kind: Git, URL: "https://h/x"},
		{Kind: Crate, Name: "../x", Version: "1"}, {Kind: Crate, Name: "a/b", Version: "1"}, {Kind: Crate, Name: "x"},
		{Kind: NPM, Name: "x?y", Version: "1"}, {Kind: Crate, Name: "x", Version: "1/2"},
	} {
		if b, err := bad.Encode(); err == nil {
			t.Errorf("%+v encodes to %s, want an error", bad, b)
		}
	}
}

func FuzzParseOrigin(f *testing.F) {
	f.Add([]byte(`{"kind":"npm","name":"@s/p","version":"1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := ParseOrigin(b); err == nil {
			if _, err := o.Encode(); err != nil {
				t.Errorf("%q parses to %+v, which does not encode: %v", b, o, err)
			}
		}
	})
}
