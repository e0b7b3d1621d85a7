package cargo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

const (
	registry = "https://index.example.org"
	sum      = "8f42a60cbdf9a97f5d2305f08a87dc4e09308d1276d28c869c684d7777685682"
)

// request is the recorder's map of addresses; it knows no address without encryption.
func request(address string) ecosystem.Request {
	if path, ok := strings.CutPrefix(address, registry); ok {
		return ecosystem.Request{Alias: "crate", Path: path}
	}
	rest, ok := strings.CutPrefix(address, "https://")
	if _, path, _ := strings.Cut(rest, "/"); ok {
		return ecosystem.Request{Alias: "xother", Path: "/" + path}
	}
	return ecosystem.Request{}
}

func index(path string) ecosystem.Request { return ecosystem.Request{Alias: "crate", Path: path} }

func version(v string, more ...string) string {
	return `{"name":"Demo-x","vers":"` + v + `","deps":[{"name":"a","req":"^0.8","features":[],"optional":false,"default_features":false,"target":"cfg(not(miri))","kind":"dev"}],"cksum":"` +
		sum + `","features":{},"yanked":false` + strings.Join(more, "") + `}` + "\n"
}

func TestRead(t *testing.T) {
	hash, err := pir.ParseHash("sha256:" + sum)
	if err != nil {
		t.Fatal(err)
	}
	body := version("1.0.0", `,"pubtime":"2026-03-20T00:12:37Z"`) + version("1.0.0+b") + "\n" + strings.TrimSpace(version("2.0.0-rc.1"))
	got, err := Adapter{}.Read(index("/de/mo/demo-x"), registry+"/de/mo/demo-x", "text/plain", []byte(body), request)
	file := func(v string) ecosystem.File {
		return ecosystem.File{Package: "Demo-x", Version: v, Name: "Demo-x-" + v + ".crate", Promised: hash, Origin: nuon.Record{"kind": "crate", "name": "Demo-x", "version": v}}
	}
	want := []ecosystem.File{file("1.0.0"), file("1.0.0+b"), file("2.0.0-rc.1")}
	want[0].Released = time.Date(2026, 3, 20, 0, 12, 37, 0, time.UTC)
	if d := cmp.Diff(want, got, cmp.AllowUnexported(pir.Hash{})); d != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
	// What the index says of a file, and what a client's request for it says, are one file.
	for _, path := range []string{"/api/v1/crates/Demo-x/1.0.0/download", "/f/Demo-x/Demo-x-1.0.0.crate", "/f/Demo-x/1.0.0.crate", "/f/Demo-x-1.0.0.crate", "/De/mo/Demo-x/1.0.0/" + sum + ".crate"} {
		f := Adapter{}.Describe(index(path))
		if f == nil || !f.Same(&want[0]) || f.Name != want[0].Name || Adapter.Classify(Adapter{}, index(path)) != ecosystem.Artefact {
			t.Errorf("%s: got %+v", path, f)
		}
		if f != nil && f.Promised != hash && strings.Contains(path, sum) {
			t.Errorf("%s: promises %s", path, f.Promised)
		}
	}
	for path, want := range map[string]ecosystem.Class{"/config.json": ecosystem.Index, "/de/mo/demo-x": ecosystem.Index, "/do/wn/download": ecosystem.Index, "/3/a/abc": ecosystem.Index, "/api/v1/crates": ecosystem.Text} {
		if got := (Adapter{}).Classify(index(path)); got != want || (Adapter{}).Describe(index(path)) != nil {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	for path, name := range map[string]string{"/f/a-1-b-1.0.0.crate": "a-1-b 1.0.0", "/f/a-1.0.0-b-2.0.0.crate": "a 1.0.0-b-2.0.0", "/f/x.crate": "", "/f/a/../1.0.0/download": ""} {
		got := ""
		if f := (Adapter{}).Describe(index(path)); f != nil {
			got = f.Package + " " + f.Version
		}
		if got != name {
			t.Errorf("%s: got %q, want %q", path, got, name)
		}
	}
}

// TestReadRefuses has answers that are no index of the crate that was asked for.
func TestReadRefuses(t *testing.T) {
	good := version("1.0.0")
	for name, c := range map[string]struct{ body, want string }{
		"a page":              {"<!DOCTYPE html>\n<html>", "invalid character"},
		"cut off":             {good + good[:40], "unexpected end"},
		"another crate":       {strings.Replace(good, "Demo-x", "other", 1), `the crate "other"`},
		"a similar crate":     {strings.Replace(good, "Demo-x", "demo_x", 1), `the crate "demo_x"`},
		"two on a line":       {strings.TrimSpace(good) + good, "invalid character"},
		"a version twice":     {good + version("2.0.0") + good, "version 1.0.0 twice"},
		"no version":          {version("../x"), "no version"},
		"a part of a version": {version("1.0"), "no version"},
		"a huge version":      {version("1.0.0-" + strings.Repeat("a", 1<<20)), "no version"},
		"a version is number": {strings.Replace(good, `"1.0.0"`, `1`, 1), "vers is of the wrong type"},
		"no hash":             {strings.Replace(good, sum, "", 1), "no SHA-256"},
		"a short hash":        {strings.Replace(good, sum, sum[:62], 1), "no SHA-256"},
		"a hash is a list":    {strings.Replace(good, `"`+sum+`"`, "[]", 1), "cksum is of the wrong type"},
		"a list":              {"[]\n", "want an object"},
	} {
		files, err := Adapter{}.Read(index("/de/mo/demo-x"), registry, "", []byte(c.body), request)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 1000 {
			t.Errorf("%s: got %d files, %.1000v, want %q", name, len(files), err, c.want)
		}
		if _, _, err := (Adapter{}).Change(index("/de/mo/demo-x"), registry, "", []byte(c.body), request, &ecosystem.Edit{Keep: keepAll}); err == nil && json.Valid([]byte(c.body)) {
			t.Errorf("%s: was changed", name)
		}
	}
	for name, c := range map[string]struct{ body, want string }{
		"a page":           {"<html>", "invalid character"},
		"nothing":          {"", "unexpected end"},
		"cut off":          {`{"dl":"https://f.example.org`, "unexpected end"},
		"a list":           {"[]", "cannot unmarshal"},
		"no address":       {`{"api":"https://f.example.org"}`, "no address"},
		"a number":         {`{"dl":1}`, "no text"},
		"a local file":     {`{"dl":"file:///etc/{crate}"}`, "no address"},
		"a marker as host": {`{"dl":"https://{crate}.example.org/x"}`, "no address"},
		"a password":       {`{"dl":"https://u:p@f.example.org/"}`, "no address"},
		"line ends":        {`{"dl":"https://f.example.org/a\r\nHost: x"}`, "no address"},
		"a query":          {`{"dl":"https://f.example.org/a?x={crate}"}`, "no address"},
		"no encryption":    {`{"dl":"http://f.example.org/a"}`, "may be asked"},
	} {
		if _, err := (Adapter{}).Read(index("/config.json"), registry+"/config.json", "", []byte(c.body), request); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("config.json, %s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestChange(t *testing.T) {
	body := version("1.0.0") + version("1.1.0") + version("2.0.0")
	e := &ecosystem.Edit{Lean: true, Keep: func(f *ecosystem.File) bool { return f.Version != "1.1.0" }}
	out, dropped, err := Adapter{}.Change(index("/de/mo/demo-x"), registry, "", []byte(body), request, e)
	if want := version("1.0.0") + version("2.0.0"); string(out) != want || dropped != 1 || err != nil {
		t.Errorf("got %d, %v:\n%s\nwant\n%s", dropped, err, out, want)
	}
	proxy := func(u string) string {
		return strings.NewReplacer(registry, ecosystem.Base+"/crate", "https://f.example.org", ecosystem.Base+"/xother").Replace(u)
	}
	for config, want := range map[string]string{
		`{"dl":"https://f.example.org/crates","api":"` + registry + `/"}`:                               `{"api":"` + ecosystem.Base + `/crate","dl":"` + ecosystem.Base + `/xother/crates"}`,
		`{"dl":"https://f.example.org/a/{prefix}/{crate}-{version}.crate","x":1}`:                       `{"dl":"` + ecosystem.Base + `/xother/a/{prefix}/{crate}-{version}.crate","x":1}`,
		`{"dl":"https://f.example.org/{sha256-checksum}","auth-required":true,"api":""}`:                `{"api":"","dl":"` + ecosystem.Base + `/xother/{sha256-checksum}"}`,
		`{"dl":"https://f.example.org/a{crate}/{lowerprefix}/{version}","api":"https://f.example.org"}`: `{"api":"` + ecosystem.Base + `/xother","dl":"` + ecosystem.Base + `/xother/a{crate}/{lowerprefix}/{version}"}`,
	} {
		out, _, err := Adapter{}.Change(index("/config.json"), registry+"/config.json", "", []byte(config), request, &ecosystem.Edit{Address: proxy})
		if string(out) != want || err != nil {
			t.Errorf("%s: got %s, %v, want %s", config, out, err, want)
		}
		plain := config // without an address, but for the login, which the proxy has
		if strings.Contains(config, "auth-required") {
			plain = `{"api":"","dl":"https://f.example.org/{sha256-checksum}"}`
		}
		if out, _, err := (Adapter{}).Change(index("/config.json"), registry+"/config.json", "", []byte(config), request, &ecosystem.Edit{Lean: true}); string(out) != plain || err != nil {
			t.Errorf("%s without an address: got %s, %v", config, out, err)
		}
	}
}

func TestLocked(t *testing.T) {
	lock := "version = 4\n\n[[package]]\nname = \"mine\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"demo\"\nversion = \"1.0.0\"\nsource = \"registry+https://example.org/index\"\nchecksum = \"" + sum +
		"\"\n\n[[package]]\nname = \"s\"\nversion = \"2.0.0\"\nsource = \"sparse+https://example.org/\"\n\n[[package]]\nname = \"g\"\nversion = \"2.0.0\"\nsource = \"git+https://example.org/x#0\"\n"
	got, err := Adapter{}.Locked("/p/Cargo.lock", []byte(lock), request)
	if err != nil || len(got) != 2 || got[0].Name != "demo-1.0.0.crate" || got[0].Promised.IsZero() || got[1].Package != "s" || !got[1].Promised.IsZero() {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := (Adapter{}).Locked("other.lock", []byte(lock), request); got != nil || err != nil {
		t.Errorf("another file: got %v, %v", got, err)
	}
	for _, bad := range []string{"<html>", "[[package]]\nname = 1", strings.Replace(lock, sum, "00", 1), strings.Replace(lock, `"demo"`, `"../x"`, 1)} {
		if _, err := (Adapter{}).Locked("Cargo.lock", []byte(bad), request); err == nil {
			t.Errorf("read %.100s", bad)
		}
	}
}

func TestSetup(t *testing.T) {
	ups := []ecosystem.Upstream{{Alias: "crate", URL: registry}, {Alias: "crate-2", URL: "https://mine.example.org/i", Scope: "mine"}}
	s := Adapter{}.Setup(ecosystem.DoorRegistry, ecosystem.Base, ups)
	type source struct {
		Registry string
		Replace  string `toml:"replace-with"`
	}
	var got struct{ Source map[string]source }
	if _, err := toml.Decode(s.Files[Config], &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]source{
		"crates-io": {"", "nuka-crate"}, "nuka-crate": {"sparse+" + ecosystem.Base + "/crate/", ""},
	}
	if d := cmp.Diff(want, got.Source); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if s := (Adapter{}).Setup(ecosystem.DoorProxy, ecosystem.Base, ups); len(s.Files) != 0 || s.Env["CARGO_HTTP_CAINFO"] == "" || s.Env["CARGO_HOME"] != Home ||
		s.Env["CARGO_REGISTRIES_MINE_INDEX"] != "sparse+https://mine.example.org/i/" {
		t.Errorf("proxy: got %v", s)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("/de/mo/demo-x", []byte(version("1.0.0")+version("2.0.0", `,"pubtime":"2026-03-20T00:12:37Z"`)))
	f.Add("/config.json", []byte(`{"dl":"https://f.example.org/{crate}","api":"https://f.example.org"}`))
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		r := index(path)
		files, err := Adapter{}.Read(r, registry+path, "", body, request)
		if err != nil {
			return
		}
		for _, file := range files {
			if strings.ToLower(file.Package) != asked(r) || !isVersion(file.Version) || file.Promised.IsZero() {
				t.Errorf("read %+v", file)
			}
		}
		out, dropped, err := Adapter{}.Change(r, registry+path, "", body, request, &ecosystem.Edit{Keep: func(f *ecosystem.File) bool { return f.Version != "1.0.0" }, Address: func(u string) string { return u }})
		if err != nil {
			t.Fatal(err)
		}
		again, err := Adapter{}.Read(r, registry+path, "", out, request)
		if err != nil || len(again) != len(files)-dropped {
			t.Errorf("%d files, %d dropped, then %d: %v\n%s", len(files), dropped, len(again), err, out)
		}
	})
}

func keepAll(*ecosystem.File) bool { return true }

// TestMultiplexing has an unmodified cargo ask for twelve crates. It asks over HTTP/2 without encryption, and so for more than two of them at once.
func TestMultiplexing(t *testing.T) {
	cargo, err := exec.LookPath("cargo")
	if err != nil {
		t.Skip("there is no cargo")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var now, most atomic.Int32
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/config.json") {
			fmt.Fprintf(w, `{"dl":"http://%s/files"}`, l.Addr())
			return
		}
		if n := now.Add(1); n > most.Load() && r.ProtoMajor == 2 {
			most.Store(n)
		}
		time.Sleep(50 * time.Millisecond)
		now.Add(-1)
		fmt.Fprint(w, version("1.0.0"), "\n")
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ecosystem.Serve(ctx, l, h) }()
	dir, manifest := t.TempDir(), "[package]\nname = \"mine\"\nversion = \"1.0.0\"\nedition = \"2021\"\n\n[dependencies]\n"
	for i := range 12 {
		manifest += fmt.Sprintf("demo-x%d = \"1\"\n", i)
	}
	setup := Adapter{}.Setup(ecosystem.DoorRegistry, "http://"+l.Addr().String(), []ecosystem.Upstream{{Alias: "crate", Kind: Kind, URL: registry}})
	for name, text := range map[string]string{"Cargo.toml": manifest, "src/lib.rs": "", ".cargo/config.toml": setup.Files[Config]} {
		at := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(cargo, "generate-lockfile")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CARGO_HOME="+t.TempDir(), "NO_PROXY=127.0.0.1")
	out, err := cmd.CombinedOutput() // it fails: the answers are of another crate
	if most.Load() <= 2 {
		t.Errorf("cargo had at most %d requests at once over HTTP/2: %v\n%s", most.Load(), err, out)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
