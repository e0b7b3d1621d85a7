package source

import (
	"github.com/MordragT/nuka/source/kind"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
)

// TestPyTargets reads indexes as browsers do.
func TestPyTargets(t *testing.T) {
	at, _ := url.Parse("https://h/simple/p/")
	for body, want := range map[string][]string{
		`<a href="a-1.tar.gz">a</a>`: {"https://h/simple/p/a-1.tar.gz"},
		`<a href='../../f/a.whl#sha256=00' data-requires-python=">=3.6">a</a>`:           {"https://h/f/a.whl"},
		`<A data-x=">" HREF=//files/a.whl?x=1&amp;y=2>a</A>`:                             {"https://files/a.whl?x=1&y=2"},
		`<base href="/other/"><a href="a">a</a><a href="/b">b</a>`:                       {"https://h/other/a", "https://h/b"},
		`<!-- <a href="no">no</a> --><a href=" a "><b>a</b><a href="b">`:                 {"https://h/simple/p/a", "https://h/simple/p/b"},
		`<a href="javascript:alert(1)">x</a><a href="file:///etc/passwd">y</a><a>z</a>`:  nil,
		`{"files":[{"filename":"a","url":"../a"},{"filename":"b","url":"https://o/b"}]}`: {"https://h/simple/a", "https://o/b"},
		`{"files":`: nil,
	} {
		var got []string
		for _, target := range pyTargets([]byte(body), at) {
			got = append(got, target.url.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", body, diff)
		}
	}
}

func FuzzPyTargets(f *testing.F) {
	at, err := url.Parse("https://h/simple/p/")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`<base href=x><a href='p-1.tar.gz'>p</a>`))
	f.Add([]byte(`{"files":[{"filename":"p-1.zip","url":"a"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, target := range pyTargets(b, at) {
			if s := target.url.Scheme; s != "https" && s != "http" {
				t.Errorf("a link to %s", target.url)
			}
		}
	})
}

// TestPyPI has typical configurations of indexes.
func TestPyPI(t *testing.T) {
	archive := makeTar(t, file("p/a", "A"))
	pages := map[string]string{
		"/simple/six/":          `<a href="/f/six-1.7.3.tar.gz">x</a><a href="/f/six-1.17.0.tar.gz">x</a><a href="/f/six-1.7.3-py2.py3-none-any.whl">x</a>`,
		"/simple/ansible-core/": `<a href="/f/ansible-core-2.16.3rc1.tar.gz">x</a><a href="/f/ansible_core-2.16.3-py3-none-any.whl">x</a><a href="/f/ansible-core-2.16.3.tar.gz">x</a>`,
		"/simple/pyyaml/":       `<a href="/f/PyYAML-6.0.1.tar.gz">x</a>`,
		"/secret/mine/":         `{"files":[{"filename":"mine-1.zip","url":"/private/mine-1.zip"}]}`,
		"/extra/more/":          `<a href="/f/more-1.tar.gz">x</a>`,
		"/moved/here/":          `<a href="../f/here-1.tar.gz">x</a>`,
	}
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		user, password, _ := r.BasicAuth()
		page, ok := pages[r.URL.Path]
		switch {
		case (strings.HasPrefix(r.URL.Path, "/secret/") || strings.HasPrefix(r.URL.Path, "/private/")) && (user != "u@x" || password != "p w"):
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/simple/here/":
			http.Redirect(w, r, "/moved/here/", http.StatusFound)
		case ok:
			w.Write([]byte(page))
		case strings.HasPrefix(r.URL.Path, "/f/") || strings.HasPrefix(r.URL.Path, "/private/") || strings.HasPrefix(r.URL.Path, "/moved/f/"):
			w.Write(archive)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	dir := t.TempDir()
	host := strings.TrimPrefix(server.URL, "http://")
	writeFiles(t, dir, server.URL, map[string]string{
		".config/pip/pip.conf": "[global]\nindex_url: BASE/simple\nextra-index-url =\n    BASE/none\n    # mine\n    BASE/extra\n",
		"netrc":                "# mine\nmachine other login a password b\nmacdef init\nmachine 127.0.0.1 login no password no\n\nmachine 127.0.0.1\n\tlogin u@x password \"p w\"\n",
		".netrc":               "default login no password no\n",
	})
	configured := &Client{Home: dir, Getenv: environment(map[string]string{"NETRC": dir + "/netrc"})}
	secret := func(env map[string]string) *Client { return &Client{Getenv: environment(env)} }
	for name, c := range map[string]struct {
		client *Client
		o      Origin
		want   string // a part of the error; "" means none
		file   string // the downloaded file
	}{
		"another case":          {configured, Origin{Kind: PyPI, Name: "PyYaml", Version: "6.0.1"}, "", "/f/PyYAML-6.0.1.tar.gz"},
		"a part of a version":   {configured, Origin{Kind: PyPI, Name: "six", Version: "7.3", Flags: kind.Fields{"file": "*.whl"}}, "the registry has no six 7.3; the newest is 1.17.0", ""},
		"a pre-release":         {configured, Origin{Kind: PyPI, Name: "ansible-core", Version: "2.16.3", Flags: kind.Fields{"file": "ansible-core-*.tar.gz"}}, "", "/f/ansible-core-2.16.3.tar.gz"},
		"metadata":              {configured, Origin{Kind: PyPI, Name: "six", Version: "1.7.3", Flags: kind.Fields{"file": "six-1.7.3-py2.py3-none-any.whl.metadata"}}, "", "/f/six-1.7.3-py2.py3-none-any.whl.metadata"},
		"metadata, a pattern":   {configured, Origin{Kind: PyPI, Name: "six", Version: "1.7.3", Flags: kind.Fields{"file": "*.metadata"}}, "", "/f/six-1.7.3-py2.py3-none-any.whl.metadata"},
		"no metadata":           {configured, Origin{Kind: PyPI, Name: "six", Version: "1.17.0", Flags: kind.Fields{"file": "*.metadata"}}, "no file that matches *.metadata", ""},
		"no file":               {configured, Origin{Kind: PyPI, Name: "six", Version: "1.17.0", Flags: kind.Fields{"file": "*.whl"}}, "six-1.17.0.tar.gz", ""},
		"latest":                {configured, Origin{Kind: PyPI, Name: "six", Version: "latest"}, "1.17.0 now", ""},
		"another spelling":      {configured, Origin{Kind: PyPI, Name: "six", Version: "1.17"}, "", "/f/six-1.17.0.tar.gz"},
		"an extra index":        {configured, Origin{Kind: PyPI, Name: "more", Version: "1"}, "", "/f/more-1.tar.gz"},
		"relative to redirects": {configured, Origin{Kind: PyPI, Name: "here", Version: "1"}, "", "/moved/f/here-1.tar.gz"},
		"netrc": {
			&Client{Getenv: environment(map[string]string{"NETRC": dir + "/netrc", "PIP_INDEX_URL": server.URL + "/secret"})},
			Origin{Kind: PyPI, Name: "mine", Version: "1"}, "", "/private/mine-1.zip",
		},
		"in the address":    {secret(map[string]string{"PIP_INDEX_URL": "http://u%40x:p%20w@" + host + "/secret/"}), Origin{Kind: PyPI, Name: "mine", Version: "1"}, "", "/private/mine-1.zip"},
		"no credentials":    {secret(map[string]string{"PIP_INDEX_URL": server.URL + "/secret"}), Origin{Kind: PyPI, Name: "mine", Version: "1"}, "401", ""},
		"the wrong ones":    {secret(map[string]string{"PIP_INDEX_URL": "http://u:hidden@" + host + "/secret"}), Origin{Kind: PyPI, Name: "mine", Version: "1"}, "401", ""},
		"no such project":   {configured, Origin{Kind: PyPI, Name: "nothing", Version: "1"}, "404", ""},
		"extra by variable": {secret(map[string]string{"PIP_INDEX_URL": server.URL + "/none", "PIP_EXTRA_INDEX_URL": server.URL + "/extra " + server.URL + "/simple"}), Origin{Kind: PyPI, Name: "pyyaml", Version: "6.0.1"}, "", "/f/PyYAML-6.0.1.tar.gz"},
	} {
		t.Run(name, func(t *testing.T) {
			asked = nil
			err := fetchOrigin(t, c.client, c.o)
			if c.want == "" && (err != nil || !slices.Contains(asked, c.file)) {
				t.Errorf("got %v, asked for %v; want %s", err, asked, c.file)
			}
			text := ""
			if e := protocol.AsError(err); err != nil {
				text = err.Error() + " " + e.Hint
			}
			if c.want != "" && !strings.Contains(text, c.want) || strings.Contains(text, "hidden") {
				t.Errorf("got %q, want %q and no password", text, c.want)
			}
		})
	}
}
