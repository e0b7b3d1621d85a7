package source

import (
	"encoding/hex"
	"github.com/MordragT/nuka/source/kind"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/MordragT/nuka/protocol"
)

// TestCargo has typical configurations.
func TestCargo(t *testing.T) {
	archive := makeTar(t, file("demo-1.0.0/a", "A"))
	checksum := hex.EncodeToString(sha(archive).Digest())
	token := ""
	files := map[string]string{
		"/index/config.json":      `{"dl":"BASE/dl/{lowerprefix}/{prefix}/{crate}/{version}/{sha256-checksum}.crate","auth-required":true}`,
		"/index/de/mo/demo":       `{"vers":"1.0.0","cksum":"` + checksum + `"}` + "\n" + `{"vers":"1.10.0","cksum":"11"}` + "\n" + `{"vers":"1.9.0","cksum":"11"}` + "\n" + `{"vers":"2.0.0-rc.1","cksum":"11"}`,
		"/index/ab/cd/abcd":       `{"vers":"1.0.0","cksum":"` + checksum + `"}`,
		"/plain/config.json":      `{"dl":"BASE/api"}`,
		"/plain/3/a/abc":          `{"vers":"1.0.0","cksum":"00"}`,
		"/api/abc/1.0.0/download": string(archive),
		"/dl/de/mo/de/mo/demo/1.0.0/" + checksum + ".crate": string(archive),
		"/dl/ab/cd/AB/CD/ABCD/1.0.0/" + checksum + ".crate": string(archive),
	}
	server := httptest.NewServer(nil)
	defer server.Close()
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := files[r.URL.Path]
		switch {
		case !strings.HasPrefix(r.URL.Path, "/plain/") && !strings.HasPrefix(r.URL.Path, "/api/") && r.Header.Get("Authorization") != token:
			w.WriteHeader(http.StatusUnauthorized)
		case !ok:
			http.NotFound(w, r)
		default:
			w.Write([]byte(strings.ReplaceAll(body, "BASE", server.URL)))
		}
	})
	const chain = "[source.crates-io]\nreplace-with = \"one\"\n[source.one]\nreplace-with = \"my-mirror\"\n[source.my-mirror]\nregistry = \"sparse+BASE/index/\"\n"
	for name, c := range map[string]struct {
		files   map[string]string
		env     map[string]string
		crate   string
		version string
		token   string
		want    string // in the error
	}{
		"a chain":               {files: map[string]string{"home/.cargo/config.toml": chain}},
		"upper case":            {files: map[string]string{"home/.cargo/config.toml": chain}, crate: "ABCD"},
		"CARGO_HOME":            {files: map[string]string{"c/config": chain}, env: map[string]string{"CARGO_HOME": "DIR/c"}},
		"the project's":         {files: map[string]string{"proj/.cargo/config.toml": chain, "home/.cargo/config.toml": "[source.crates-io]\nreplace-with = \"x\"\n[source.x]\nregistry = \"sparse+http://other.invalid/\"\n"}},
		"a registry's name":     {files: map[string]string{"home/.cargo/config.toml": "[source.crates-io]\nreplace-with = \"mine\"\n[registries.mine]\nindex = \"sparse+BASE/index/\"\n", "home/.cargo/credentials.toml": "[registries.mine]\ntoken = \"tok\"\n"}, token: "tok"},
		"a token by variable":   {files: map[string]string{"home/.cargo/config.toml": chain}, env: map[string]string{"CARGO_REGISTRIES_MY_MIRROR_TOKEN": "tok"}, token: "tok"},
		"a token by address":    {files: map[string]string{"home/.cargo/config.toml": chain + "[registries.other]\nindex = \"sparse+BASE/index/\"\n", "home/.cargo/credentials.toml": "[registries.other]\ntoken = \"tok\"\n"}, token: "tok"},
		"an index by variable":  {files: map[string]string{"home/.cargo/config.toml": "[source.crates-io]\nreplace-with = \"mine\"\n"}, env: map[string]string{"CARGO_REGISTRIES_MINE_INDEX": "sparse+BASE/index"}},
		"no markers":            {files: map[string]string{"home/.cargo/config.toml": "[source.crates-io]\nreplace-with = \"x\"\n[source.x]\nregistry = \"sparse+BASE/plain/\"\n"}, crate: "abc"},
		"cargo's own, kept":     {files: map[string]string{"home/.cargo/registry/index/h-1/config.json": `{"dl":"BASE/api"}`}, crate: "abc"},
		"a circle":              {files: map[string]string{"home/.cargo/config.toml": "[source.crates-io]\nreplace-with = \"x\"\n[source.x]\nreplace-with = \"crates-io\"\n"}, want: "replaced with itself"},
		"a git index":           {files: map[string]string{"home/.cargo/config.toml": "[source.crates-io]\nreplace-with = \"x\"\n[source.x]\nregistry = \"https://u:hidden@h/index\"\n"}, want: "git repository"},
		"a folder":              {files: map[string]string{"home/.cargo/config.toml": "[source.crates-io]\nreplace-with = \"x\"\n[source.x]\ndirectory = \"vendor\"\n"}, want: "vendor"},
		"a wrong version":       {files: map[string]string{"home/.cargo/config.toml": chain}, version: "9.9.9", want: "the registry has no demo 9.9.9; the newest is 1.10.0"},
		"a part of a version":   {files: map[string]string{"home/.cargo/config.toml": chain}, version: "1.0", want: "the registry has no demo 1.0;"},
		"latest":                {files: map[string]string{"home/.cargo/config.toml": chain}, version: "latest", want: "1.10.0 now"},
		"a checksum is missing": {files: map[string]string{"home/.cargo/registry/index/h-1/config.json": `{"dl":"BASE/dl/{sha256-checksum}"}`}, want: "checksum"},
		"another's, kept":       {files: map[string]string{"home/.cargo/config.toml": "[registries.x]\nindex = \"sparse+https://h/i/\"\n", "home/.cargo/registry/index/h-1/config.json": `{"dl":"BASE/api"}`}, crate: "abc", want: "no crate registry"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, server.URL, c.files)
			for k, v := range c.env {
				c.env[k] = strings.NewReplacer("DIR", dir, "BASE", server.URL).Replace(v)
			}
			o := Origin{Kind: Crate, Name: first(c.crate, "demo"), Version: first(c.version, "1.0.0")}
			token = c.token
			err := fetchOrigin(t, &Client{Home: filepath.Join(dir, "home"), Dir: filepath.Join(dir, "proj", "a", "b"), Getenv: environment(c.env)}, o)
			if c.want == "" && err != nil {
				t.Error(err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hidden")) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestGoProxies has the kinds of lists that GOPROXY may contain.
func TestGoProxies(t *testing.T) {
	module := makeZip(t, "example.org/m@v1.0.0/a")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		user, _, _ := r.BasicAuth()
		switch {
		case kind == "broken":
			w.WriteHeader(http.StatusInternalServerError)
		case kind == "denied" || kind == "secret" && user != "me":
			w.WriteHeader(http.StatusForbidden)
		case kind == "empty" || path == "example.org/m/@v/v9.0.0.info":
			http.NotFound(w, r)
		case path == "example.org/m/@v/v1.0.0.info":
			w.Write([]byte(`{"Version":"v1.0.0"}`))
		case path == "example.org/m/@v/main.info":
			w.Write([]byte(`{"Version":"v1.0.1-0.20200101000000-abcdefabcdef"}`))
		case path == "example.org/m/@v/list":
			w.Write([]byte("v1.10.0\nv1.9.0\nv2.0.0-rc.1\n"))
		case path == "example.org/m/@v/v1.0.0.zip":
			w.Write(module)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for list, want := range map[string]string{
		"BASE/good": "", "BASE/empty,BASE/good,direct": "", "BASE/broken|BASE/good": "", "BASE/denied|BASE/good": "", " BASE/good/ , direct": "",
		"BASE/denied,BASE/good": "403", "BASE/broken,BASE/good": "500", "off": "forbids", "direct": "direct has go fetch", "BASE/empty,off": "404",
		"BASE/empty,direct": "404", "file:///tmp": "not an https or http", "http://me:hidden@" + host + "/secret": "", "http://you:hidden@" + host + "/secret,direct": "403",
	} {
		c := &Client{Getenv: environment(map[string]string{"GOPROXY": strings.ReplaceAll(list, "BASE", server.URL)})}
		err := fetchOrigin(t, c, Origin{Kind: Go, Name: "example.org/m", Version: "v1.0.0"})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden")) {
			t.Errorf("GOPROXY=%s: got %v, want %q", list, err, want)
		}
		if e := protocol.AsError(err); (list == "off" || list == "direct") && !strings.Contains(e.Hint, "set GOPROXY") {
			t.Errorf("GOPROXY=%s: the hint is %q", list, e.Hint)
		}
	}
	client := &Client{Getenv: environment(map[string]string{"GOPROXY": server.URL + "/good", "GOPRIVATE": "corp.example,*.internal"})}
	for _, c := range []struct {
		o    Origin
		want string
	}{
		{Origin{Kind: Go, Name: "example.org/m", Version: "main"}, "v1.0.1-0.20200101000000-abcdefabcdef now"},
		{Origin{Kind: Go, Name: "example.org/m", Version: "latest"}, "v1.10.0 now"},
		{Origin{Kind: Go, Name: "example.org/m", Version: "v9.0.0"}, "the registry has no example.org/m v9.0.0; the newest is v1.10.0"},
		{Origin{Kind: Go, Name: "corp.example/secret", Version: "v1.0.0"}, "GOPRIVATE"},
	} {
		if err := fetchOrigin(t, client, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.o, err, c.want)
		}
	}
}

// TestApt has flat repositories and this machine's architecture.
func TestApt(t *testing.T) {
	deb := makeTar(t, file("a", "A"))
	own := debianArchs("")[0]
	packages := func(version, file string) string {
		return "Package: x\nVersion: " + version + "\nFilename: " + file + "\n\n"
	}
	files := map[string]string{
		"/flat/Packages":                                  packages("1", "./x_1.tar") + packages("1.10", "x_110.tar") + packages("1.9", "x_19.tar"),
		"/sub/stable/dir/Packages.gz":                     string(gz(t, []byte(packages("2", "stable/dir/x_2.tar")))),
		"/suite/dists/s/main/binary-" + own + "/Packages": packages("3", "pool/x_3.tar"),
		"/suite/dists/s/main/binary-all/Packages":         packages("4", "pool/x_4.tar"),
		"/flat/x_1.tar":                                   string(deb), "/sub/stable/dir/x_2.tar": string(deb), "/suite/pool/x_3.tar": string(deb), "/suite/pool/x_4.tar": string(deb),
	}
	authorized := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := files[r.URL.Path]
		authorized = authorized || r.Header.Get("Authorization") != ""
		if !ok {
			http.NotFound(w, r)
			return
		}
		if strings.HasSuffix(r.URL.Path, ".gz") {
			w.Header().Set("Content-Encoding", "x-gzip") // as servers send for files with such a suffix; the file is compressed once
		}
		w.Write([]byte(body))
	}))
	defer server.Close()
	dir := t.TempDir()
	writeFiles(t, dir, server.URL, map[string]string{
		"etc/apt/sources.list":               "deb [trusted=yes] BASE/flat ./\ndeb BASE/suite s main\ndeb BASE/suite s\n",
		"etc/apt/sources.list.d/sub.sources": "Types: deb\nURIs: BASE/sub/\nSuites: stable/dir/\n\nEnabled: no\nTypes: deb\nURIs: BASE/off\nSuites: ./\n",
	})
	fetch := func(version, arch string) error {
		f := fetcher(Options{Client: &Client{System: dir}, Retries: -1})
		_, err := f.Fetch(t.Context(), &Request{Origins: []Origin{{Kind: Deb, Name: "x", Version: version, Flags: kind.Fields{"arch": arch}}}, Dir: t.TempDir()})
		return err
	}
	for _, version := range []string{"1", "2", "3", "4"} {
		if err := fetch(version, ""); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
	if err := fetch("9", ""); err == nil || !strings.Contains(err.Error(), "the registry has no x 9; the newest is 4") {
		t.Errorf("got %v, want the newest version", err)
	}
	// The name and password in an address are for the user's requests only, and never appear in an error.
	secret := t.TempDir()
	writeFiles(t, secret, strings.Replace(server.URL, "http://", "http://me:hidden@", 1), map[string]string{"etc/apt/sources.list": "deb BASE/flat ./\n"})
	for _, stranger := range []bool{false, true} {
		authorized = false
		f := fetcher(Options{Client: &Client{System: secret}, Retries: -1})
		_, err := f.Fetch(t.Context(), &Request{Origins: []Origin{{Kind: Deb, Name: "x", Version: "1.9"}}, Dir: t.TempDir(), Anonymous: stranger})
		if err == nil || strings.Contains(err.Error(), "hidden") || authorized == stranger {
			t.Errorf("stranger %v: got %v, credentials %v", stranger, err, authorized)
		}
	}
	if err := fetch("3", "alpha"); err == nil {
		t.Error("found a package of another architecture")
	}
}
