package ecosystem_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/pip"
	"github.com/MordragT/nuka/pir"
)

const simple = "application/vnd.pypi.simple.v1+json"

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve starts a handler and returns its address.
func serve(t *testing.T, h http.Handler) string { return serveAt(t, listen(t), h) }

func serveAt(t *testing.T, l net.Listener, h http.Handler) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ecosystem.Serve(ctx, l, h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func server(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// index returns an index of six with one file, at an address.
func index(address string, content []byte) string {
	return fmt.Sprintf(`{"meta":{"api-version":"1.1"},"name":"six","files":[{"filename":"six-1.0.tar.gz","url":%q,"hashes":{"sha256":"%x"}}]}`, address, sha256.Sum256(content))
}

func recorder(t *testing.T, o *ecosystem.Options) (*ecosystem.Recorder, *ecosystem.Folder) {
	t.Helper()
	folder, err := ecosystem.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o.Files = folder
	if o.Adapter == nil {
		o.Adapter = pip.Adapter{}
	}
	rec, err := ecosystem.NewRecorder(o)
	if err != nil {
		t.Fatal(err)
	}
	return rec, folder
}

// ask lets a handler answer without a connection.
func ask(h http.Handler, path string, headers ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", simple)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	h.ServeHTTP(w, r)
	return w
}

func upstream(alias, address string) ecosystem.Upstream {
	return ecosystem.Upstream{Alias: alias, Kind: "pypi", URL: address}
}

// TestCredentialsStay lets an index lead to another host: neither the configuration's credentials nor the client's go there, and no second registry gets the
// password of the first. A redirect does not take them along either.
func TestCredentialsStay(t *testing.T) {
	content := []byte("six 1.0")
	var leaked atomic.Int32
	other := server(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header["Authorization"])+len(r.Header["X-Token"])+len(r.Header["Cookie"]) > 0 {
			leaked.Add(1)
		}
		if strings.HasSuffix(r.URL.Path, "/six/") {
			fmt.Fprint(w, index("/six-1.0.tar.gz", content))
			return
		}
		_, _ = w.Write(content)
	})
	var seen atomic.Int32
	first := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Header.Get("X-Token") != "" {
			seen.Add(1)
		}
		if r.URL.Path == "/moved/six/" {
			http.Redirect(w, r, other.URL+"/simple/six/", http.StatusFound)
			return
		}
		fmt.Fprint(w, index(other.URL+"/files/six-1.0.tar.gz", content))
	})
	for _, own := range []bool{true, false} {
		up := []ecosystem.Upstream{upstream("pypi", first.URL+"/simple"), upstream("pypi-2", other.URL+"/second"), upstream("pypi-3", first.URL+"/moved")}
		client := []string{"Authorization", "Basic dXNlcjpzZWNyZXQtd29yZA==", "Cookie", "a=b"}
		if own {
			up[0].Header = http.Header{"X-Token": {"secret-of-the-configuration"}}
			up[2].Header = up[0].Header
			client = nil
		}
		rec, _ := recorder(t, &ecosystem.Options{Upstreams: up})
		seen.Store(0)
		var location string
		for _, path := range []string{"/pypi/six/", "/pypi-2/six/", "/pypi-3/six/"} {
			w := ask(rec, path, client...)
			if w.Code != http.StatusOK {
				t.Errorf("%s: got %d %s", path, w.Code, w.Body)
			}
			if path == "/pypi/six/" {
				location = rec.Request(other.URL + "/files/six-1.0.tar.gz").URL("")
			}
		}
		if w := ask(rec, location, client...); w.Code != http.StatusOK || w.Body.String() != string(content) {
			t.Errorf("the file: got %d %s", w.Code, w.Body)
		}
		if seen.Load() != 2 {
			t.Errorf("the registry got credentials %d times, want 2", seen.Load())
		}
		if leaked.Load() != 0 {
			t.Errorf("another host got credentials (those of the configuration: %v)", own)
		}
	}
}

// TestSecretIsNotRecorded lets a registry repeat the password in its answer.
func TestSecretIsNotRecorded(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "you are user:secret-word", http.StatusNotFound)
	})
	rec, _ := recorder(t, &ecosystem.Options{Upstreams: []ecosystem.Upstream{upstream("pypi", s.URL)}})
	ask(rec, "/pypi/six/", "Authorization", "Basic dXNlcjpzZWNyZXQtd29yZA==")
	if _, err := rec.Recording(); err == nil || !strings.Contains(err.Error(), "password") {
		t.Errorf("got %v", err)
	}
}

// TestInward lets an index name services of this machine and its network: nothing connects to them.
func TestInward(t *testing.T) {
	var reached atomic.Int32
	inside := server(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(inside.URL, "http://"))
	target := ""
	s := server(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, index(target, []byte("x"))) })
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.1]", "router", "x.localhost"} {
		target = "http://" + host + ":" + port + "/six-1.0.tar.gz"
		rec, _ := recorder(t, &ecosystem.Options{Upstreams: []ecosystem.Upstream{upstream("pypi", s.URL)}})
		w := ask(rec, "/pypi/six/")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), target) {
			t.Errorf("%s: the address was rewritten: %s", host, w.Body)
		}
		at := ecosystem.HostAlias("http://" + host + ":" + port)
		if w := ask(rec, "/"+at+"/six-1.0.tar.gz"); w.Code != http.StatusNotFound {
			t.Errorf("%s: got %d %s", host, w.Code, w.Body)
		}
	}
	// A name whose address is one of this machine.
	guard := ecosystem.NewTransport([]ecosystem.Upstream{upstream("pypi", s.URL)})
	defer guard.CloseIdleConnections()
	for _, host := range []string{"localhost", "127.0.0.1"} {
		r := httptest.NewRequest(http.MethodGet, "http://"+host+":"+port+"/", nil)
		r.RequestURI = ""
		if res, err := guard.RoundTrip(r); err == nil || !strings.Contains(err.Error(), "address of this machine") {
			t.Errorf("%s: got %v, %v", host, res, err)
		}
	}
	r := httptest.NewRequest(http.MethodGet, s.URL, nil)
	if res, err := guard.RoundTrip(r); err != nil {
		t.Errorf("the registry itself: %v", err)
	} else {
		res.Body.Close()
	}
	if reached.Load() > 0 {
		t.Error("something connected to this machine")
	}
}

// TestTwoPromises lets two indexes promise different bytes for one file.
func TestTwoPromises(t *testing.T) {
	files := server(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "six") })
	promise := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, index(files.URL+"/six-1.0.tar.gz", []byte(text)))
		}
	}
	rec, _ := recorder(t, &ecosystem.Options{Upstreams: []ecosystem.Upstream{upstream("pypi", server(t, promise("six")).URL), upstream("pypi-2", server(t, promise("evil")).URL),
		upstream("pypi-3", files.URL)}})
	if w := ask(rec, "/pypi/six/"); w.Code != http.StatusOK {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	if w := ask(rec, "/pypi-2/six/"); w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), "an index before it promised") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// TestLocked lets a lock file promise other bytes than the index.
func TestLocked(t *testing.T) {
	for _, byName := range []bool{true, false} {
		content := []byte("what the index promises")
		s := server(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/") {
				fmt.Fprint(w, index("/six-1.0.tar.gz", content))
				return
			}
			_, _ = w.Write(content)
		})
		sum := sha256.Sum256([]byte("what the lock file promises"))
		locked := ecosystem.File{Package: "six", Version: "1.0", Name: "six-1.0.tar.gz", Promised: pir.NewHash(pir.SHA256, sum[:])}
		if !byName {
			locked.Package, locked.Request = "", ecosystem.Request{Alias: "pypi", Path: "/six-1.0.tar.gz"}
		}
		rec, _ := recorder(t, &ecosystem.Options{Upstreams: []ecosystem.Upstream{upstream("pypi", s.URL)}, Locked: []ecosystem.File{locked}})
		ask(rec, "/pypi/six/")
		if w := ask(rec, "/pypi/six-1.0.tar.gz"); w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), "not the one that was promised") {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
	}
}

// TestFirstClientLeaves lets the client leave who asked first; another one that waits gets the file.
func TestFirstClientLeaves(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 200<<10)
	var asked atomic.Int32
	begun := make(chan struct{}, 10)
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			begun <- struct{}{}
			<-r.Context().Done()
			return
		}
		_, _ = w.Write(content)
	})
	rec, _ := recorder(t, &ecosystem.Options{Upstreams: []ecosystem.Upstream{upstream("pypi", s.URL)}})
	address := "http://" + serve(t, rec) + "/pypi/six-1.0.tar.gz"
	ctx, leave := context.WithCancel(t.Context())
	get := func(ctx context.Context) (int, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return 0, err
		}
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return len(body), err
	}
	first, second := make(chan error), make(chan int)
	go func() {
		_, err := get(ctx)
		first <- err
	}()
	<-begun
	go func() {
		n, _ := get(t.Context())
		second <- n
	}()
	time.Sleep(50 * time.Millisecond) // the second one waits; if not yet, it asks itself, which is right as well
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := <-second; n != len(content) {
		t.Errorf("got %d bytes", n)
	}
	if problems := rec.Problems(); len(problems) > 0 {
		t.Errorf("problems: %s", problems)
	}
}

func TestReplayerDamage(t *testing.T) {
	content := []byte("six 1.0")
	s := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
	rec, folder := recorder(t, &ecosystem.Options{Upstreams: []ecosystem.Upstream{upstream("pypi", s.URL)}})
	ask(rec, "/pypi/six-1.0.tar.gz")
	r, err := rec.Recording()
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(pir.Hash) (io.ReadSeekCloser, error){
		"missing": func(pir.Hash) (io.ReadSeekCloser, error) { return nil, errors.New("nothing here") },
		"shorter": func(pir.Hash) (io.ReadSeekCloser, error) { return nopCloser{bytes.NewReader(content[1:])}, nil },
	} {
		p, err := ecosystem.NewReplayer(r, &ecosystem.ReplayOptions{Open: open})
		if err != nil {
			t.Fatal(err)
		}
		if w := ask(p, "/pypi/six-1.0.tar.gz"); w.Code != http.StatusBadGateway || len(p.Problems()) == 0 {
			t.Errorf("%s: got %d %s, problems %v", name, w.Code, w.Body, p.Problems())
		}
	}
	p, err := ecosystem.NewReplayer(r, &ecosystem.ReplayOptions{Open: folder.Open})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/pypi/six-1.0.tar.gz": 200, "/pypi/./six-1.0.tar.gz": 400, "/pypi/%2e%2e/six": 400, "/pypi/a%5cb": 400, "/PYPI/six": 400, "/": 400, "/pypi": 404} {
		if w := ask(p, path); w.Code != want {
			t.Errorf("%s: got %d, want %d", path, w.Code, want)
		}
	}
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

// TestProxyReplay records with DoorProxy, and replays the addresses of the registry, of a mirror of it, and of another host.
func TestProxyReplay(t *testing.T) {
	content := []byte("six 1.0")
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/six/") {
			fmt.Fprint(w, index("https://"+r.Host+"/files/six-1.0.tar.gz", content))
			return
		}
		_, _ = w.Write(content)
	}))
	defer s.Close()
	rec, folder := recorder(t, &ecosystem.Options{Door: ecosystem.DoorProxy, Transport: s.Client().Transport, Upstreams: []ecosystem.Upstream{upstream("pypi", s.URL+"/simple")},
		Allow: func(origin string) bool { return origin == s.URL }})
	address, pool := proxyDoor(t, rec)
	c := proxyClient(t, address, pool)
	for path, want := range map[string]string{"/simple/six/": "/files/six-1.0.tar.gz", "/files/six-1.0.tar.gz": string(content)} {
		if got := text(t, c, s.URL+path); !strings.Contains(got, want) {
			t.Errorf("%s: got %s", path, got)
		}
	}
	if got := text(t, c, "https://example.org/"); !strings.Contains(got, "may not reach") {
		t.Errorf("a host that is not allowed: got %s", got)
	}
	r, err := rec.Recording()
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if r, err = ecosystem.Decode(encoded); err != nil {
		t.Fatal(err)
	}
	p, err := ecosystem.NewReplayer(r, &ecosystem.ReplayOptions{Adapter: pip.Adapter{}, Open: folder.Open})
	if err != nil {
		t.Fatal(err)
	}
	address, pool = proxyDoor(t, p)
	c = proxyClient(t, address, pool)
	for _, at := range []string{s.URL + "/simple/six/", "https://mirror.example.org/root/pypi/simple/six/", ecosystem.Base + "/pypi/six/"} {
		if got := text(t, c, at); !strings.Contains(got, "/files/six-1.0.tar.gz") {
			t.Errorf("%s: got %s", at, got)
		}
	}
	if got := text(t, c, s.URL+"/files/six-1.0.tar.gz"); got != string(content) {
		t.Errorf("got %s", got)
	}
	if got := text(t, c, "https://example.org/other/"); !strings.Contains(got, "not in the recording") {
		t.Errorf("got %s", got)
	}
}

// TestPageInsteadOfFile lets a portal answer for a file about which nothing is promised.
func TestPageInsteadOfFile(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "\n <!DOCTYPE html><html><body>Log in</body></html>")
	})
	rec, _ := recorder(t, &ecosystem.Options{Upstreams: []ecosystem.Upstream{upstream("pypi", s.URL)}})
	if w := ask(rec, "/pypi/six-1.0.tar.gz"); w.Code != http.StatusBadGateway || !strings.Contains(strings.Join(rec.Problems(), ""), "portal") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
