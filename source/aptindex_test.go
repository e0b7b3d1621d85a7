package source

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/apt/apttest"
)

// aptFixture is an archive over HTTP with a suite and a key, and a folder with apt's configuration.
type aptFixture struct {
	*apttest.Archive
	t      *testing.T
	key    *apttest.Key
	base   string
	system string
}

func newAptFixture(t *testing.T) *aptFixture {
	t.Helper()
	f := &aptFixture{Archive: &apttest.Archive{}, t: t, key: apttest.NewKey(t, time.Now().Add(-time.Hour), 0), system: t.TempDir()}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.base = server.URL + "/debian"
	f.put("trixie", "aa")
	return f
}

// put puts a suite with one package.
func (f *aptFixture) put(suite, name string) {
	f.t.Helper()
	f.Put(f.t, apttest.Suite{Codename: suite, Date: time.Now().Add(-time.Minute).Truncate(time.Second), Packages: map[string]string{"amd64": apttest.Stanza(name, "1")}}, f.key)
}

func (f *aptFixture) write(name, text string) {
	f.t.Helper()
	file := filepath.Join(f.system, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// open reads the index of suites as nuka lock does.
func (f *aptFixture) open(names ...string) (int, error) {
	f.t.Helper()
	c := &Client{System: f.system}
	suites, err := c.DebianSuites(names)
	if err != nil {
		return 0, err
	}
	dir := f.t.TempDir()
	x, err := fetcher(Options{Client: c}).AptLoader(dir, filepath.Join(dir, "dates")).Open(f.t.Context(), suites, []string{"main"}, "amd64")
	if err != nil {
		return 0, err
	}
	return x.Len(), nil
}

func TestDebianSuites(t *testing.T) {
	other := apttest.NewKey(t, time.Now().Add(-time.Hour), 0)
	for name, c := range map[string]struct {
		files func(f *aptFixture) map[string]string // by name
		want  protocol.Code                         // "" is success
	}{
		"one line, a file of keys": {func(f *aptFixture) map[string]string {
			return map[string]string{"etc/apt/sources.list": "deb [arch=amd64 Signed-By=/usr/share/keyrings/k.gpg] " + f.base + " bookworm main\n", "usr/share/keyrings/k.gpg": string(f.key.Public())}
		}, ""},
		"the same suite": {func(f *aptFixture) map[string]string {
			return map[string]string{"etc/apt/sources.list": "deb [signed-by=/k.asc] " + f.base + " trixie contrib main\n", "k.asc": f.key.Armored()}
		}, ""},
		"a key in the entry": {func(f *aptFixture) map[string]string {
			key := strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(f.key.Armored()), "\n\n", "\n.\n"), "\n", "\n ")
			return map[string]string{"etc/apt/sources.list.d/d.sources": "Types: deb\nURIs: " + f.base + "\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By:\n " + key + "\n"}
		}, ""},
		"a fingerprint": {func(f *aptFixture) map[string]string {
			return map[string]string{
				"etc/apt/sources.list":             "deb [signed-by=" + f.key.Fingerprint() + "!] " + f.base + " stable main\n",
				"etc/apt/trusted.gpg.d/a.gpg":      string(other.Public()),
				"etc/apt/trusted.gpg.d/b.asc":      f.key.Armored(),
				"etc/apt/trusted.gpg.d/README.txt": "not a key",
			}
		}, ""},
		"another key's fingerprint": {func(f *aptFixture) map[string]string {
			return map[string]string{
				"etc/apt/sources.list":        "deb [signed-by=" + other.Fingerprint() + "] " + f.base + " stable main\n",
				"etc/apt/trusted.gpg.d/a.gpg": string(other.Public()), "etc/apt/trusted.gpg.d/b.asc": f.key.Armored(),
			}
		}, protocol.Denied},
		"apt's own keys": {func(f *aptFixture) map[string]string {
			return map[string]string{"etc/apt/sources.list": "deb " + f.base + " bookworm main\n", "usr/share/keyrings/debian-archive-keyring.gpg": string(f.key.Public())}
		}, ""},
		"no keys": {func(f *aptFixture) map[string]string {
			return map[string]string{"etc/apt/sources.list": "deb " + f.base + " bookworm main\n"}
		}, protocol.NotFound},
		"a missing file of keys": {func(f *aptFixture) map[string]string {
			return map[string]string{"etc/apt/sources.list": "deb [signed-by=/none] " + f.base + " bookworm main\n"}
		}, protocol.NotFound},
		"a file that has no keys": {func(f *aptFixture) map[string]string {
			return map[string]string{"etc/apt/sources.list": "deb [signed-by=/k] " + f.base + " bookworm main\n", "k": "x"}
		}, protocol.Invalid},
		"settings that switch checks off": {func(f *aptFixture) map[string]string {
			return map[string]string{
				"etc/apt/sources.list":           "deb [trusted=yes allow-insecure=yes check-valid-until=no signed-by=/k] " + f.base + " bookworm main\n",
				"etc/apt/apt.conf.d/99-insecure": "Acquire::AllowInsecureRepositories \"true\";\nAPT::Get::AllowUnauthenticated \"true\";\n",
				"k":                              string(other.Public()),
			}
		}, protocol.Denied},
		"the entry of another distribution": {func(f *aptFixture) map[string]string {
			return map[string]string{"etc/apt/sources.list": "deb [signed-by=/k] " + f.base + " nodistro main\n", "k": string(f.key.Public())}
		}, protocol.Unavailable},
		"only an entry for security": {func(f *aptFixture) map[string]string {
			return map[string]string{"etc/apt/sources.list": "deb [signed-by=/k] " + f.base + " bookworm-security main\n", "k": string(f.key.Public())}
		}, protocol.Unavailable},
		"no sources": {func(*aptFixture) map[string]string { return nil }, protocol.Unavailable},
	} {
		f := newAptFixture(t)
		for file, text := range c.files(f) {
			f.write(file, text)
		}
		n, err := f.open("trixie")
		if got := protocol.CodeOf(err); c.want == "" && (err != nil || n != 1) || c.want != "" && (err == nil || got != c.want) {
			t.Errorf("%s: got %d packages, %v (%s); want the code %q", name, n, err, got, c.want)
		}
	}
}

// TestDebianSecurity finds security's suite in its own archive, which old releases named otherwise.
func TestDebianSecurity(t *testing.T) {
	for _, suite := range []string{"bookworm-security", "trixie-security", "stable/updates"} {
		f, s := newAptFixture(t), newAptFixture(t)
		s.put("trixie-security", "bb")
		f.write("etc/apt/sources.list", "deb [signed-by=/f] "+f.base+" bookworm main\ndeb [signed-by=/s] "+s.base+" "+suite+" main\n")
		f.write("f", string(f.key.Public()))
		f.write("s", string(s.key.Public()))
		if n, err := f.open("trixie", "trixie-security"); err != nil || n != 2 {
			t.Errorf("%s: got %d, %v", suite, n, err)
		}
	}
	for _, name := range []string{"nodistro", "../trixie", "trixie/updates", "trixie-../x", ""} {
		f := newAptFixture(t)
		_, err := f.open(name)
		if protocol.CodeOf(err) != protocol.Invalid {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

// TestAptOffline needs no network after the first time.
func TestAptOffline(t *testing.T) {
	f := newAptFixture(t)
	f.write("etc/apt/sources.list", "deb [signed-by=/k] "+f.base+" bookworm main\n")
	f.write("k", string(f.key.Public()))
	c := &Client{System: f.system}
	suites, err := c.DebianSuites([]string{"trixie"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, offline := range []bool{false, true} {
		x, err := fetcher(Options{Client: c, Offline: offline}).AptLoader(dir, filepath.Join(dir, "dates")).Open(t.Context(), suites, []string{"main"}, "amd64")
		if err != nil || x.Len() != 1 {
			t.Errorf("offline %v: got %v, %v", offline, x, err)
		}
		f.Got()
	}
}
