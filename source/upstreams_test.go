package source

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
)

// runs is a Client.Run that prints a text.
func runs(text string) func(context.Context, ...string) (string, error) {
	return func(context.Context, ...string) (string, error) { return text, nil }
}

// TestUpstreams has typical configurations of each client.
func TestUpstreams(t *testing.T) {
	basic := func(user, password string) http.Header { return basicAuth(user, password) }
	for name, c := range map[string]struct {
		kind  OriginKind
		files map[string]string
		env   map[string]string
		run   string
		want  []Upstream
		err   string
	}{
		"pypi": {kind: PyPI, env: map[string]string{"PIP_INDEX_URL": "https://u:p@a.example.org/simple/", "PIP_EXTRA_INDEX_URL": "https://b.example.org/x https://c.example.org/"},
			files: map[string]string{"home/.netrc": "machine b.example.org login me password secret\n"},
			want:  []Upstream{{Kind: PyPI, URL: "https://a.example.org/simple", Header: basic("u", "p")}, {Kind: PyPI, URL: "https://b.example.org/x", Header: basic("me", "secret")}, {Kind: PyPI, URL: "https://c.example.org"}}},
		"pip's own": {kind: PyPI, run: "https://own.example.org/simple\n", want: []Upstream{{Kind: PyPI, URL: "https://own.example.org/simple"}}},
		"no pip":    {kind: PyPI, err: "no python package registry"},
		"npm": {kind: NPM, files: map[string]string{"home/.npmrc": "registry=https://a.example.org/npm/\n@s:registry=https://s.example.org/\n//s.example.org/:_authToken=tok\n@b:registry=https://a.example.org/b\n"},
			want: []Upstream{{Kind: NPM, URL: "https://a.example.org/npm"}, {Kind: NPM, URL: "https://a.example.org/b", Scope: "@b"}, {Kind: NPM, URL: "https://s.example.org", Scope: "@s", Header: http.Header{"Authorization": {"Bearer tok"}}}}},
		"npm's own":  {kind: NPM, run: "https://own.example.org/\n", want: []Upstream{{Kind: NPM, URL: "https://own.example.org"}}},
		"a variable": {kind: NPM, files: map[string]string{"home/.npmrc": "registry=https://a.example.org/\n//a.example.org/:_authToken=${NO}\n"}, err: "variable that is not set"},
		"no npm":     {kind: NPM, err: "no npm registry"},
		"cargo": {kind: Crate, files: map[string]string{"home/.cargo/config.toml": "[source.crates-io]\nreplace-with = \"m\"\n[source.m]\nregistry = \"sparse+https://a.example.org/i/\"\n[registries.m]\nindex = \"sparse+https://a.example.org/i/\"\ntoken = \"tok\"\n"},
			want: []Upstream{{Kind: Crate, URL: "https://a.example.org/i", Header: http.Header{"Authorization": {"tok"}}}}},
		"cargo, named": {kind: Crate, files: map[string]string{
			"home/.cargo/config.toml":      "[source.crates-io]\nreplace-with = \"m\"\n[source.m]\nregistry = \"sparse+https://a.example.org/i/\"\n[registries.z]\nindex = \"sparse+https://z.example.org/i/\"\n[registries.old]\nindex = \"https://git.example.org/i\"\n[registries.b]\nindex = \"sparse+https://b.example.org/\"\n",
			"home/.cargo/credentials.toml": "[registries.z]\ntoken = \"tok\"\n[registries.nowhere]\ntoken = \"other\"\n"},
			want: []Upstream{{Kind: Crate, URL: "https://a.example.org/i"}, {Kind: Crate, URL: "https://b.example.org", Scope: "b"}, {Kind: Crate, URL: "https://z.example.org/i", Scope: "z", Header: http.Header{"Authorization": {"tok"}}}}},
		"a git index": {kind: Crate, files: map[string]string{"home/.cargo/config.toml": "[source.crates-io]\nreplace-with = \"m\"\n[source.m]\nregistry = \"https://a.example.org/i\"\n"}, err: "git repository"},
		"no cargo":    {kind: Crate, err: "no crate registry"},
		"go": {kind: Go, env: map[string]string{"GOPROXY": "https://me:pw@a.example.org/,https://b.example.org|direct,https://c.example.org"},
			want: []Upstream{{Kind: Go, URL: "https://a.example.org", Header: basic("me", "pw")}, {Kind: Go, URL: "https://b.example.org"}}},
		"go's own":    {kind: Go, run: "https://own.example.org,direct\n", want: []Upstream{{Kind: Go, URL: "https://own.example.org"}}},
		"only direct": {kind: Go, env: map[string]string{"GOPROXY": "direct"}, err: "no Go module registry"},
		"off":         {kind: Go, env: map[string]string{"GOPROXY": "off"}, err: "no Go module registry"},
		"a folder":    {kind: Go, env: map[string]string{"GOPROXY": "file:///x"}, err: "not an https or http address"},
		"maven": {kind: Maven, files: map[string]string{"home/.m2/settings.xml": "<settings><mirrors><mirror><id>m</id><url>https://a.example.org/m/</url><mirrorOf>*</mirrorOf></mirror></mirrors><servers><server><id>m</id><username>me</username><password>pw</password></server></servers></settings>"},
			want: []Upstream{{Kind: Maven, URL: "https://a.example.org/m", Header: basic("me", "pw")}}},
		"no maven": {kind: Maven, err: "no Maven registry"},
		"url":      {kind: URL, err: "no registry that a proxy"},
		"unknown":  {kind: "floppy", err: "no registry that a proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, "", c.files)
			client := &Client{Home: filepath.Join(dir, "home"), Getenv: environment(c.env)}
			if c.run != "" {
				client.Run = runs(c.run)
			}
			got, err := fetcher(Options{Client: client, Retries: -1}).Upstreams(t.Context(), []OriginKind{c.kind}, nil)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || strings.HasPrefix(c.err, "no ") && strings.HasSuffix(c.err, "registry") && !errors.Is(err, ErrNoRegistry) {
					t.Errorf("got %v, %v, want %q", got, err, c.err)
				}
				return
			}
			if d := cmp.Diff(c.want, got); d != "" || err != nil {
				t.Errorf("%v (-want +got)\n%s", err, d)
			}
		})
	}
	if _, err := fetcher(Options{Offline: true}).Upstreams(t.Context(), []OriginKind{NPM}, nil); protocol.CodeOf(err) != protocol.Offline {
		t.Errorf("offline: got %v", err)
	}
	// The configuration of a request comes before that of this process.
	own := &Client{Getenv: environment(map[string]string{"GOPROXY": "https://own.example.org"})}
	regs := &Registries{Clients: map[string]Config{"go": &GoConfig{Proxy: "https://theirs.example.org"}}}
	if got, err := fetcher(Options{Client: own}).Upstreams(t.Context(), []OriginKind{Go}, regs); err != nil || len(got) != 1 || got[0].URL != "https://theirs.example.org" {
		t.Errorf("got %v, %v", got, err)
	}
}

// askCargo is a Client.Run that asks for some hosts as cargo does, through the proxy in its arguments.
func askCargo(t *testing.T, hosts ...string) func(context.Context, ...string) (string, error) {
	return func(_ context.Context, argv ...string) (string, error) {
		var proxy string
		for _, a := range argv {
			if value, ok := strings.CutPrefix(a, "http.proxy="); ok {
				proxy = strings.TrimPrefix(strings.Trim(value, `"`), "http://")
			}
		}
		for _, host := range hosts {
			conn, err := net.Dial("tcp", proxy)
			if err != nil {
				t.Error(err)
				continue
			}
			if host == "" {
				fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
				conn.Close()
				continue
			}
			fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", host, host)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || res.StatusCode != http.StatusForbidden {
				t.Errorf("%s: the proxy connects: %v, %v", host, res, err)
			} else {
				res.Body.Close()
			}
			conn.Close()
		}
		return "", errors.New("403")
	}
}

// TestCargoOwn asks cargo for its own registry, and finds it in the folders of its cache if there is no cargo.
func TestCargoOwn(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/config.json" || r.Header.Get("Authorization") != "" {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte(`{"dl":"https://files.example.org"}`))
	}))
	defer server.Close()
	page := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"login":"here"}`)) }))
	defer page.Close()
	host, other := strings.TrimPrefix(server.URL, "https://"), strings.TrimPrefix(page.URL, "https://")
	for name, c := range map[string]struct {
		run  func(context.Context, ...string) (string, error)
		kept string
		want string
	}{
		"cargo asks":          {run: askCargo(t, host), want: server.URL},
		"other hosts first":   {run: askCargo(t, "", other, host, host), want: server.URL},
		"only other hosts":    {run: askCargo(t, other)},
		"no cargo, a cache":   {kept: host, want: server.URL},
		"a cache of another":  {kept: other},
		"cargo asks nothing":  {run: askCargo(t)},
		"cargo before caches": {run: askCargo(t, host), kept: other, want: server.URL},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.kept != "" {
				writeFiles(t, dir, "", map[string]string{".cargo/registry/index/" + c.kept + "-1949cf8c6b5b557f/config.json": "{}", ".cargo/credentials.toml": "[registry]\ntoken = \"secret\"\n"})
			}
			f := fetcher(Options{Client: &Client{Home: dir, Run: c.run}, Retries: -1, Transport: server.Client().Transport})
			got, err := f.Upstreams(t.Context(), []OriginKind{Crate}, nil)
			if c.want == "" && !errors.Is(err, ErrNoRegistry) {
				t.Errorf("got %v, %v, want no registry", got, err)
			}
			if c.want != "" && (err != nil || len(got) != 1 || got[0].URL != c.want || got[0].Header != nil) {
				t.Errorf("got %v, %v, want %s", got, err, c.want)
			}
		})
	}
}
