package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MordragT/nuka/pir"
)

// TestOddAnswers has servers and proxies that end early, or answer a range request with another range.
// The bytes must be the wanted ones, with a hash and without, and nothing may prevent a later attempt.
func TestOddAnswers(t *testing.T) {
	var body []byte // no part of it equals another
	for i := range 1 << 11 {
		body = append(body, sha(fmt.Append(nil, i)).Digest()...)
	}
	half := len(body) / 2
	hijack := func(w http.ResponseWriter, text string, content []byte) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, text)
		conn.Write(content)
	}
	chunked := func(w http.ResponseWriter, content []byte) { // without the final chunk
		hijack(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: \"e\"\r\n\r\n"+fmt.Sprintf("%x\r\n", len(content)), append(bytes.Clone(content), "\r\n"...))
	}
	part := func(w http.ResponseWriter, from, to int, tag, says string) {
		w.Header().Set("ETag", tag)
		w.Header().Set("Content-Range", says)
		w.WriteHeader(http.StatusPartialContent)
		w.Write(body[from:to])
	}
	short := func(w http.ResponseWriter) { // fewer bytes than Content-Length
		hijack(w, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: \"e\"\r\n\r\n", len(body)), body[:half])
	}
	for name, answer := range map[string]func(w http.ResponseWriter, ranged bool, n int){
		"chunked, then 416": func(w http.ResponseWriter, ranged bool, _ int) {
			if ranged {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", len(body)))
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			chunked(w, body)
		},
		"half of it, then 416": func(w http.ResponseWriter, ranged bool, n int) {
			switch {
			case ranged:
				w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", 3))
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			case n == 1:
				chunked(w, body[:half])
			default:
				w.Write(body)
			}
		},
		"416 without a size": func(w http.ResponseWriter, ranged bool, n int) {
			switch {
			case ranged:
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			case n == 1:
				chunked(w, body)
			default:
				w.Write(body)
			}
		},
		"a part from the beginning": func(w http.ResponseWriter, ranged bool, n int) {
			switch {
			case ranged:
				part(w, 0, len(body), `"e"`, fmt.Sprintf("bytes 0-%d/%d", len(body)-1, len(body)))
			case n == 1:
				short(w)
			default:
				w.Write(body)
			}
		},
		"a part of other content": func(w http.ResponseWriter, ranged bool, n int) {
			switch {
			case ranged:
				part(w, 0, half, `"other"`, fmt.Sprintf("bytes %d-%d/%d", half, len(body)-1, len(body)))
			case n == 1:
				short(w)
			default:
				w.Write(body)
			}
		},
		"a part that does not say which": func(w http.ResponseWriter, ranged bool, n int) {
			switch {
			case ranged:
				part(w, 0, len(body), `"e"`, "")
			case n == 1:
				short(w)
			default:
				w.Write(body)
			}
		},
		"the right part": func(w http.ResponseWriter, ranged bool, _ int) {
			if ranged {
				part(w, half, len(body), `"e"`, fmt.Sprintf("bytes %d-%d/*", half, len(body)-1))
				return
			}
			short(w)
		},
	} {
		for _, want := range []pir.Hash{sha(body), {}} {
			t.Run(fmt.Sprintf("%s/%v", name, want.IsZero()), func(t *testing.T) {
				var n atomic.Int32
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					answer(w, r.Header.Get("Range") != "", int(n.Add(1)))
				}))
				defer server.Close()
				partial := t.TempDir()
				for range 2 {
					n.Store(0)
					got, _, err := fetchURL(t, fetcher(Options{Partial: partial}), server.URL, want)
					if err != nil || got != string(body) {
						t.Errorf("got %d bytes of %d, %v", len(got), len(body), err)
					}
				}
				if left, _ := os.ReadDir(partial); len(left) != 0 {
					t.Errorf("these stay: %v", left)
				}
			})
		}
	}
}

// TestRetryAfter reads both forms of the header and checks the bound on the delay.
func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "86400": maxPause, "-1": 0, "soon": 0, "99999999999999999999": 0,
		time.Now().Add(time.Hour).UTC().Format(http.TimeFormat): maxPause, time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(&http.Response{Header: http.Header{"Retry-After": {text}}}); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
	var tries atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if tries.Add(1) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		w.Write([]byte("x"))
	}))
	defer server.Close()
	begin := time.Now()
	if _, _, err := fetchURL(t, fetcher(Options{}), server.URL, pir.Hash{}); err != nil || time.Since(begin) < time.Second {
		t.Errorf("%v after %v, want a second at least", err, time.Since(begin))
	}
}

// TestCredentialsStay has registries whose files are on another server, by their metadata or behind a redirect.
func TestCredentialsStay(t *testing.T) {
	archive := makeTar(t, file("p-1/a", "A"))
	leaked := ""
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked += r.Header.Get("Authorization")
		w.Write(archive)
	}))
	defer files.Close()
	known := 0
	registry := httptest.NewServer(nil)
	defer registry.Close()
	registry.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			known++
		}
		answers := map[string]string{
			"/npm/x/1":           `{"version":"1","dist":{"tarball":"FILES/x.tgz"}}`,
			"/npm/y/1":           `{"version":"1","dist":{"tarball":"HERE/moved"}}`,
			"/simple/x/":         `<a href="FILES/x-1.tar.gz">x</a>`,
			"/simple/y/":         `<a href="HERE/moved/y-1.tar.gz">y</a>`,
			"/index/config.json": `{"dl":"FILES"}`,
			"/index/1/x":         `{"vers":"1","cksum":"00"}`,
		}
		answer, ok := answers[r.URL.Path]
		if !ok {
			http.Redirect(w, r, files.URL, http.StatusFound)
			return
		}
		w.Write([]byte(strings.NewReplacer("FILES", files.URL, "HERE", registry.URL).Replace(answer)))
	})
	home := t.TempDir()
	writeFiles(t, home, registry.URL, map[string]string{
		".npmrc":             "registry=BASE/npm/\n_authToken=t\n",
		".cargo/config.toml": "[source.crates-io]\nreplace-with = \"x\"\n[registries.x]\nindex = \"sparse+BASE/index/\"\ntoken = \"t\"\n",
	})
	index := strings.Replace(registry.URL, "http://", "http://me:t@", 1) + "/simple"
	client := &Client{Home: home, Getenv: environment(map[string]string{"PIP_INDEX_URL": index})}
	for _, o := range []Origin{
		{Kind: NPM, Name: "x", Version: "1"}, {Kind: NPM, Name: "y", Version: "1"}, {Kind: PyPI, Name: "x", Version: "1"}, {Kind: PyPI, Name: "y", Version: "1"},
		{Kind: Crate, Name: "x", Version: "1"},
	} {
		leaked, known = "", 0
		if err := fetchOrigin(t, client, o); err != nil || leaked != "" || known == 0 {
			t.Errorf("%s: %v; the other server was given %q, its own was given some %d times", o, err, leaked, known)
		}
	}
}

// TestRegistriesOfTheRequest checks which registries a fetch uses, and with which credentials, depending on the requester.
func TestRegistriesOfTheRequest(t *testing.T) {
	archive := makeTar(t, file("p/a", "A"))
	var seen []string
	server := httptest.NewServer(nil)
	defer server.Close()
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.URL.Path+" "+r.Header.Get("Authorization"))
		if strings.HasSuffix(r.URL.Path, ".tgz") {
			w.Write(archive)
			return
		}
		w.Write([]byte(`{"version":"1","dist":{"tarball":"` + server.URL + `/x.tgz"}}`))
	})
	home := t.TempDir()
	writeFiles(t, home, server.URL, map[string]string{".npmrc": "registry=BASE/daemons/\nADDRESS/:_authToken=daemons\n", ".netrc": "default login me password secret\n"})
	f := fetcher(Options{Client: &Client{Home: home}, Retries: -1})
	users := &Client{Getenv: environment(map[string]string{"NPM_CONFIG_REGISTRY": server.URL + "/users"})}
	o := Origin{Kind: NPM, Name: "x", Version: "1"}
	plain := Origin{Kind: URL, URL: server.URL + "/y.tgz"}
	for name, c := range map[string]struct {
		r    Request
		want string
	}{
		"the daemon's own":        {Request{Origins: []Origin{o}}, "/daemons/x/1 Bearer daemons,/x.tgz Bearer daemons"},
		"of a stranger":           {Request{Origins: []Origin{o}, Anonymous: true}, "/daemons/x/1 ,/x.tgz "},
		"of a user":               {Request{Origins: []Origin{o}, Registries: users.Registries(o)}, "/users/x/1 ,/x.tgz "},
		"an address":              {Request{Origins: []Origin{plain}}, "/y.tgz Basic bWU6c2VjcmV0"},
		"an address, a stranger":  {Request{Origins: []Origin{plain}, Anonymous: true}, "/y.tgz "},
		"an address, of the user": {Request{Origins: []Origin{plain}, Registries: users.Registries(plain)}, "/y.tgz "},
	} {
		seen = nil
		c.r.Dir = t.TempDir()
		if _, err := f.Fetch(t.Context(), &c.r); err != nil || strings.Join(seen, ",") != c.want {
			t.Errorf("%s: asked for %q, %v; want %s", name, seen, err, c.want)
		}
	}
	r := (&Client{Home: home}).Registries(o, plain)
	if text := fmt.Sprintf("%v %+v %s", r, r, r); strings.Contains(text, "daemons") || strings.Contains(text, "secret") {
		t.Errorf("printed with its credentials: %s", text)
	}
	if only := (&Client{Home: home}).Registries(Origin{Kind: Deb}, Origin{Kind: Path}); only.Clients != nil || only.Logins != nil {
		t.Errorf("more is read than the kinds need: %#v", *only)
	}
	whole := &Registries{
		Clients: map[string]Config{
			"npm":   &NPMConfig{Settings: map[string]string{"registry": "https://u:s3cret@h/", "//h/:_authToken": "s3cret", "_auth": "s3cret", "//h/:_password": "s3cret"}},
			"pypi":  &PyPIConfig{Index: "https://u:s3cret@h/", Extra: []string{"https://s3cret@h/x"}},
			"cargo": &CargoConfig{Index: "https://u:s3cret@h/", Token: "s3cret", Registries: []CargoRegistry{{"x", "https://u:s3cret@x/", "s3cret"}}},
			"go":    &GoConfig{Proxy: "https://u:s3cret@h/a,https://s3cret@h|direct"},
		},
		Logins: []Login{{Password: "s3cret"}},
	}
	a := whole.anonymous()
	if len(a.Clients) != len(whole.Clients) {
		t.Errorf("without credentials there are %d configurations, want %d", len(a.Clients), len(whole.Clients))
	}
	text, err := json.Marshal(a)
	if err != nil || strings.Contains(string(text), "s3cret") || !strings.Contains(string(text), "direct") {
		t.Errorf("without credentials: %s, %v", text, err)
	}
}
