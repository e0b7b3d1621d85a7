package source

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/MordragT/nuka/protocol"
)

// writeFiles writes files below dir. In their texts it replaces BASE by an address, and ADDRESS by the address without its scheme.
func writeFiles(t *testing.T, dir, base string, files map[string]string) {
	t.Helper()
	_, address, _ := strings.Cut(base, ":")
	for name, content := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		content = strings.NewReplacer("BASE", base, "ADDRESS", address).Replace(content)
		if err := os.WriteFile(at, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func environment(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

// fetchOrigin fetches with a client's configuration and returns the error.
func fetchOrigin(t *testing.T, c *Client, o Origin) error {
	t.Helper()
	_, err := fetcher(Options{Client: c, Retries: -1}).Fetch(t.Context(), &Request{Origins: []Origin{o}, Dir: t.TempDir()})
	return err
}

// TestNPMCredentials has each form of credentials in npmrc files.
func TestNPMCredentials(t *testing.T) {
	tarball := makeTar(t, file("p/a", "A"))
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:pass:word"))
	var want string
	server := httptest.NewServer(nil)
	defer server.Close()
	base := server.URL
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != want {
			http.Error(w, got, http.StatusUnauthorized)
			return
		}
		if strings.HasSuffix(r.URL.Path, ".tgz") {
			w.Write(tarball)
			return
		}
		w.Write([]byte(`{"version":"1.0.0","dist":{"tarball":"` + base + strings.SplitAfter(r.URL.Path, "/npm/")[0] + `-/x.tgz"}}`))
	})
	password := base64.StdEncoding.EncodeToString([]byte("pass:word"))
	for name, c := range map[string]struct {
		files map[string]string
		env   map[string]string
		scope string
		want  string
	}{
		"token":              {files: map[string]string{"home/.npmrc": "registry=BASE/npm/\nADDRESS/npm/:_authToken=t\n"}, want: "Bearer t"},
		"token of the host":  {files: map[string]string{"home/.npmrc": "registry=BASE/npm/\nADDRESS/:_authToken=t\n"}, want: "Bearer t"},
		"the longest path":   {files: map[string]string{"home/.npmrc": "registry=BASE/npm/\nADDRESS/:_authToken=no\nADDRESS/npm/:_authToken=t\n"}, want: "Bearer t"},
		"another path":       {files: map[string]string{"home/.npmrc": "registry=BASE/npm/\nADDRESS/other/:_authToken=no\n"}},
		"another host":       {files: map[string]string{"home/.npmrc": "registry=BASE/npm/\n//other.invalid/:_authToken=no\n"}},
		"a variable":         {files: map[string]string{"home/.npmrc": "registry=${REG}/npm/\nADDRESS/npm/:_authToken=${TOK}\n"}, env: map[string]string{"TOK": "t", "REG": base}, want: "Bearer t"},
		"an optional one":    {files: map[string]string{"home/.npmrc": "registry=BASE/npm/\nADDRESS/npm/:_authToken=a${NO?}b\n"}, want: "Bearer ab"},
		"a variable of keys": {files: map[string]string{"home/.npmrc": "registry=BASE/npm/\nADDRESS/${P}/:_authToken=t\n"}, env: map[string]string{"P": "npm"}, want: "Bearer t"},
		"an escaped one":     {files: map[string]string{"home/.npmrc": "registry=BASE/npm/\nADDRESS/npm/:_authToken=a\\${P}\n"}, env: map[string]string{"P": "no"}, want: ""},
		"_auth":              {files: map[string]string{"home/.npmrc": "registry=BASE/npm/\nADDRESS/npm/:_auth=" + basic[6:] + "\n"}, want: basic},
		"_auth for all":      {files: map[string]string{"home/.npmrc": "registry=BASE/npm/\n_auth=" + basic[6:] + "\n"}, want: basic},
		"username":           {files: map[string]string{"home/.npmrc": "registry=BASE/npm/\nADDRESS/npm/:username=me\nADDRESS/npm/:_password=" + password + "\n"}, want: basic},
		"quotes, comments":   {files: map[string]string{"home/.npmrc": "\ufeff; mine\r\n registry = \"BASE/npm/\" \r\nADDRESS/npm/:_authToken = t ; mine\r\n"}, want: "Bearer t"},
		"a scope":            {files: map[string]string{"home/.npmrc": "registry=http://other.invalid\n@s:registry=BASE/npm/\nADDRESS/npm/:_authToken=t\n"}, scope: "@s/", want: "Bearer t"},
		"the user's file":    {files: map[string]string{"u": "registry=BASE/npm/\nADDRESS/npm/:_authToken=t\n", "home/.npmrc": "registry=http://other.invalid\n"}, env: map[string]string{"NPM_CONFIG_USERCONFIG": "DIR/u"}, want: "Bearer t"},
		"the project's": {files: map[string]string{
			"proj/package.json": "{}", "proj/.npmrc": "registry=BASE/npm/\n", "home/.npmrc": "registry=http://other.invalid\nADDRESS/:_authToken=t\n",
		}, want: "Bearer t"},
		"the global one":       {files: map[string]string{"system/etc/npmrc": "registry=BASE/npm/\nADDRESS/npm/:_authToken=t\n"}, want: "Bearer t"},
		"the user's before it": {files: map[string]string{"system/etc/npmrc": "registry=http://other.invalid\n", "home/.npmrc": "registry=BASE/npm/\n"}},
		"a variable before":    {files: map[string]string{"home/.npmrc": "registry=http://other.invalid\n"}, env: map[string]string{"npm_config_registry": base + "/npm/"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, base, c.files)
			for k, v := range c.env {
				c.env[k] = strings.Replace(v, "DIR", dir, 1)
			}
			if err := os.MkdirAll(filepath.Join(dir, "proj", "deep"), 0o755); err != nil {
				t.Fatal(err)
			}
			want = c.want
			client := &Client{Home: filepath.Join(dir, "home"), System: filepath.Join(dir, "system"), Dir: filepath.Join(dir, "proj", "deep"), Getenv: environment(c.env)}
			err := fetchOrigin(t, client, Origin{Kind: NPM, Name: c.scope + "x", Version: "1.0.0"})
			if name == "an escaped one" {
				if err == nil || !strings.Contains(err.Error(), "variable") {
					t.Errorf("got %v, want an error about a variable", err)
				}
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	// An unset variable is not sent.
	dir := t.TempDir()
	writeFiles(t, dir, base, map[string]string{".npmrc": "registry=BASE/npm/\nADDRESS/npm/:_authToken=${TOK}\n"})
	err := fetchOrigin(t, &Client{Home: dir}, Origin{Kind: NPM, Name: "x", Version: "1.0.0"})
	if protocol.CodeOf(err) != protocol.Denied || !strings.Contains(err.Error(), "variable") {
		t.Errorf("got %v, want an error about a variable", err)
	}
}

// TestNPMVersions has registries that only answer with the packument, compressed responses, and missing versions.
func TestNPMVersions(t *testing.T) {
	tarball := makeTar(t, file("p/a", "A"))
	status := 0
	compress := false
	server := httptest.NewServer(nil)
	defer server.Close()
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		record := func(v string) string { return `{"version":"` + v + `","dist":{"tarball":"` + server.URL + `/x.tgz"}}` }
		body := []byte(nil)
		switch r.URL.Path {
		case "/x.tgz":
			w.Write(tarball)
			return
		case "/x":
			body = []byte(`{"dist-tags":{"latest":"1.10.0","next":"2.0.0-rc.1"},"versions":{"1.9.0":` + record("1.9.0") + `,"1.10.0":` + record("1.10.0") + `,"2.0.0-rc.1":` + record("2.0.0-rc.1") + `}}`)
		default:
			if status != 0 {
				w.WriteHeader(status)
				return
			}
			v := strings.TrimPrefix(r.URL.Path, "/x/")
			if v == "latest" || v == "^1" {
				v = "1.10.0" // as registries do
			} else if v != "1.10.0" {
				http.NotFound(w, r)
				return
			}
			body = []byte(record(v))
		}
		if compress {
			w.Header().Set("Content-Encoding", "gzip")
			body = gz(t, body)
		}
		w.Write(body)
	})
	client := &Client{Getenv: environment(map[string]string{"NPM_CONFIG_REGISTRY": server.URL})}
	for _, compress = range []bool{false, true} {
		for _, status = range []int{0, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusBadRequest} {
			if err := fetchOrigin(t, client, Origin{Kind: NPM, Name: "x", Version: "1.10.0"}); err != nil {
				t.Errorf("status %d: %v", status, err)
			}
			for version, want := range map[string]string{
				"9.9.9": "the registry has no x 9.9.9; the newest is 1.10.0", "1.10": "the registry has no x 1.10", "latest": "the version 1.10.0 now", "next": "2.0.0-rc.1 now", "^1": "the registry has no x ^1",
			} {
				if err := fetchOrigin(t, client, Origin{Kind: NPM, Name: "x", Version: version}); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("status %d: %s: got %v, want %q", status, version, err, want)
				}
			}
		}
	}
}
