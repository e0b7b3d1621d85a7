package gomod

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

const (
	h1zip    = "h1:ZfthKaKaT4NrhGVZHO1/WDTwGES4De8KtWO0SIbNJMU="
	h1mod    = "h1:IXM97Txy2VM4PJ3gI61r1YEk/gAj6zAHN3AdZt6S9Ww="
	lookup   = "35066140\nexample.org/Mod v1.0.0 " + h1zip + "\nexample.org/Mod v1.0.0/go.mod " + h1mod + "\n\ngo.sum database tree\n51408098\nnzWKN71qDmO5pXtdM5pQbgJ6Zl6+sx5inHmkfUtvP2k=\n\n— sum.example.org Az3grg==\n"
	infoText = `{"Version":"v1.0.0","Time":"2025-02-14T21:54:42Z","Origin":{"VCS":"git"}}`
)

func ask(path string) ecosystem.Request { return ecosystem.Request{Alias: "go", Path: path} }

func file(version string) ecosystem.File {
	return ecosystem.File{
		Request: ask("/example.org/!mod/@v/" + strings.ReplaceAll(version, "RC", "!r!c") + ".zip"), Package: "example.org/Mod", Version: version, Name: version + ".zip",
		Origin: nuon.Record{"kind": "go", "name": "example.org/Mod", "version": version},
	}
}

func hash(t *testing.T, text string) pir.Hash {
	t.Helper()
	h, err := pir.ParseHash(text)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRead(t *testing.T) {
	latest := file("v1.0.0")
	latest.Released = time.Date(2025, 2, 14, 21, 54, 42, 0, time.UTC)
	zip, mod := file("v1.0.0"), file("v1.0.0")
	zip.Promised, mod.Promised = hash(t, h1zip), hash(t, h1mod)
	zip.Vouched, mod.Vouched = ByClient, ByClient
	mod.Request, mod.Name, mod.Origin = ask("/example.org/!mod/@v/v1.0.0.mod"), "v1.0.0.mod", modOrigin("example.org/Mod", "v1.0.0")
	deep := file("v1.0.0")
	deep.Request.Path = "/proxy/all" + deep.Request.Path
	for _, c := range []struct {
		path, body string
		want       []ecosystem.File
	}{
		{"/example.org/!mod/@v/list", "v1.0.0\nv2.0.0+incompatible 2020-01-01T00:00:00Z\n\nv1.1.0-RC\nv1.0.0", []ecosystem.File{file("v1.0.0"), file("v2.0.0+incompatible"), file("v1.1.0-RC")}},
		{"/proxy/all/example.org/!mod/@v/list", "v1.0.0\n", []ecosystem.File{deep}},
		{"/example.org/!mod/@v/list", "", nil},
		{"/example.org/!mod/@latest", infoText, []ecosystem.File{latest}},
		{"/sumdb/sum.example.org/lookup/example.org/!mod@v1.0.0", lookup, []ecosystem.File{zip, mod}},
	} {
		got, err := Adapter{}.Read(ask(c.path), "", "text/plain", []byte(c.body), nil)
		if d := cmp.Diff(c.want, got, cmp.AllowUnexported(pir.Hash{})); d != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", c.path, err, d)
		}
		// The file of a client's own request is the same.
		for _, f := range got {
			if about := (Adapter{}).Describe(f.Request); about == nil || !about.Same(&f) || about.Name != f.Name {
				t.Errorf("%v: described as %+v", f.Request, about)
			}
		}
		if out, dropped, err := (Adapter{}).Change(ask(c.path), "", "", []byte(c.body), nil, &ecosystem.Edit{}); err != nil || dropped != 0 || len(out) == 0 && c.body != "" {
			t.Errorf("%s: changed without an edit: %q, %d, %v", c.path, out, dropped, err)
		}
	}
}

// TestReadRefuses has answers that are no list, no version, or of another module.
func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ name, path, body, want string }{
		{"a page", "/example.org/m/@v/list", "<!DOCTYPE html><html>\nLog in\n", "no version"},
		{"JSON", "/example.org/m/@v/list", `{"Version":"v1.0.0"}`, "no version"},
		{"climbs", "/example.org/m/@v/list", "v1.0.0\nv1/../../x\n", "no version"},
		{"a carriage return", "/example.org/m/@v/list", "v1.0.0\rv1.0.1\n", ""},
		{"no v", "/example.org/m/@v/list", "1.0.0\n", "no version"},
		{"a part", "/example.org/m/@v/list", "v1.0\n", "no version"},
		{"long", "/example.org/m/@v/list", "v1.0.0-" + strings.Repeat("a", 1<<20), "no version"},
		{"a page", "/example.org/m/@latest", "<html>", "invalid character"},
		{"cut off", "/example.org/m/@latest", infoText[:20], "unexpected end"},
		{"a branch", "/example.org/m/@latest", `{"Version":"main"}`, "no version"},
		{"a number", "/example.org/m/@latest", `{"Version":1}`, "cannot unmarshal"},
		{"another time", "/example.org/m/@latest", `{"Version":"v1.0.0","Time":"yesterday"}`, "parsing time"},
		{"a page", "/sumdb/s/lookup/example.org/!mod@v1.0.0", "<html>", "no record"},
		{"cut off", "/sumdb/s/lookup/example.org/!mod@v1.0.0", lookup[:70], "no record"},
		{"another module", "/sumdb/s/lookup/example.org/other@v1.0.0", lookup, "it is of example.org/Mod v1.0.0"},
		{"another version", "/sumdb/s/lookup/example.org/!mod@v1.0.1", lookup, "it is of example.org/Mod v1.0.0"},
		{"a short hash", "/sumdb/s/lookup/example.org/!mod@v1.0.0", strings.Replace(lookup, h1zip, "h1:AAAA", 1), "digest has 3 bytes"},
		{"too much", "/sumdb/s/lookup/example.org/!mod@v1.0.0", strings.Replace(lookup, " "+h1zip, " x "+h1zip, 1), "want a module"},
		{"no list", "/example.org/m/@v/v1.0.0.mod", "module x", "no list"},
	} {
		files, err := Adapter{}.Read(ask(c.path), "", "", []byte(c.body), nil)
		if c.want == "" {
			if err != nil || len(files) != 1 { // go reads the first word of a line
				t.Errorf("%s: got %v, %v", c.name, files, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 1000 {
			t.Errorf("%s %s: got %v, %.500v, want %q", c.path, c.name, files, err, c.want)
		}
		if _, _, err := (Adapter{}).Change(ask(c.path), "", "", []byte(c.body), nil, &ecosystem.Edit{}); err == nil {
			t.Errorf("%s %s: was changed", c.path, c.name)
		}
	}
}

func TestChange(t *testing.T) {
	e := &ecosystem.Edit{Lean: true, Keep: func(f *ecosystem.File) bool { return f.Version == "v1.0.0" }}
	out, dropped, err := Adapter{}.Change(ask("/example.org/m/@v/list"), "", "", []byte("v0.9.0\nv1.0.0\nv1.1.0\n"), nil, e)
	if string(out) != "v1.0.0\n" || dropped != 2 || err != nil {
		t.Errorf("got %q, %d, %v", out, dropped, err)
	}
	if out, _, err := (Adapter{}).Change(ask("/example.org/m/@latest"), "", "", []byte(infoText), nil, e); string(out) != infoText || err != nil {
		t.Errorf("latest: got %q, %v", out, err)
	}
	if _, _, err := (Adapter{}).Change(ask("/example.org/m/@latest"), "", "", []byte(strings.Replace(infoText, "v1.0.0", "v1.1.0", 1)), nil, e); err == nil || !strings.Contains(err.Error(), "left out") {
		t.Errorf("latest that is left out: got %v", err)
	}
	none := &ecosystem.Edit{Keep: func(*ecosystem.File) bool { return false }}
	if out, dropped, err := (Adapter{}).Change(ask("/sumdb/s/lookup/example.org/!mod@v1.0.0"), "", "", []byte(lookup), nil, none); string(out) != lookup || dropped != 0 || err != nil {
		t.Errorf("what is signed was changed: %q, %d, %v", out, dropped, err)
	}
}

func TestRequests(t *testing.T) {
	for path, want := range map[string]struct {
		class ecosystem.Class
		about string
	}{
		"/example.org/m/@v/list":                                   {ecosystem.Index, ""},
		"/example.org/m/@latest":                                   {ecosystem.Index, ""},
		"/example.org/m/@v/v1.0.0.info":                            {ecosystem.Text, "example.org/m v1.0.0 v1.0.0.info"},
		"/example.org/m/@v/main.info":                              {ecosystem.Text, ""},
		"/example.org/m/@v/v1.0.0.mod":                             {ecosystem.Text, "example.org/m v1.0.0 v1.0.0.mod"},
		"/example.org/!m/@v/v1.0.0-!r!c.zip":                       {ecosystem.Artefact, "example.org/M v1.0.0-RC v1.0.0-RC.zip"},
		"/a/b/example.org/m/v2/@v/v2.0.0.zip":                      {ecosystem.Artefact, "example.org/m/v2 v2.0.0 v2.0.0.zip"},
		"/example.org/m/@v/main.zip":                               {ecosystem.Text, ""},
		"/example.org/M/@v/v1.0.0.zip":                             {ecosystem.Text, ""},
		"/example.org/m/@v/v1.0.0.exe":                             {ecosystem.Text, ""},
		"/sumdb/s/supported":                                       {ecosystem.Text, ""},
		"/sumdb/s/latest":                                          {ecosystem.Text, ""},
		"/sumdb/s/tile/8/0/x012/345":                               {ecosystem.Text, ""},
		"/sumdb/s/lookup/example.org/!mod@v1.0.0":                  {ecosystem.Index, ""},
		"/example.org/m/@v/v0.0.0-20200101000000-0123456789ab.zip": {ecosystem.Artefact, "example.org/m v0.0.0-20200101000000-0123456789ab v0.0.0-20200101000000-0123456789ab.zip"},
	} {
		about := ""
		if f := (Adapter{}).Describe(ask(path)); f != nil {
			about = f.Package + " " + f.Version + " " + f.Name
		}
		if got := (Adapter{}).Classify(ask(path)); got != want.class || about != want.about {
			t.Errorf("%s: got %s %q, want %s %q", path, got, about, want.class, want.about)
		}
		if got, want := (Adapter{}).Checksums(ask(path)), strings.HasPrefix(path, "/sumdb/"); got != want {
			t.Errorf("%s: of the checksum database: %v", path, got)
		}
	}
}

func TestDate(t *testing.T) {
	for _, path := range []string{"/example.org/!m/@v/list", "/example.org/!m/@v/v1.0.0.zip", "/example.org/!m/@latest"} {
		q, read, ok := Adapter{}.Date(ask(path), "v1.0.0")
		if !ok || q != ask("/example.org/!m/@v/v1.0.0.info") {
			t.Fatalf("%s: got %v, %v", path, q, ok)
		}
		if got := read(http.Header{}, []byte(infoText)); got.Year() != 2025 {
			t.Errorf("%s: got %v", path, got)
		}
		for _, bad := range []string{"<html>", strings.Replace(infoText, "v1.0.0", "v1.0.1", 1), `{"Version":"v1.0.0"}`} {
			if got := read(http.Header{}, []byte(bad)); !got.IsZero() {
				t.Errorf("%s: got %v", bad, got)
			}
		}
	}
	for path, version := range map[string]string{"/sumdb/s/latest": "v1.0.0", "/example.org/m/@v/list": "main"} {
		if _, _, ok := (Adapter{}).Date(ask(path), version); ok {
			t.Errorf("%s %s: there is a question", path, version)
		}
	}
}

func TestLocked(t *testing.T) {
	sum := "example.org/Mod v1.0.0 " + h1zip + "\nexample.org/Mod v1.0.0/go.mod " + h1mod + "\nexample.org/Mod v1.0.0 h9:ABC=\n"
	got, err := Adapter{}.Locked("/p/go.sum", []byte(sum), nil)
	zip, mod := file("v1.0.0"), file("v1.0.0")
	zip.Promised, mod.Promised = hash(t, h1zip), hash(t, h1mod)
	mod.Request, mod.Name, mod.Origin = ask("/example.org/!mod/@v/v1.0.0.mod"), "v1.0.0.mod", modOrigin("example.org/Mod", "v1.0.0")
	zip.Request.Alias, mod.Request.Alias = "", ""
	if d := cmp.Diff([]ecosystem.File{zip, mod}, got, cmp.AllowUnexported(pir.Hash{})); d != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
	if got, err := (Adapter{}).Locked("go.mod", []byte(sum), nil); got != nil || err != nil {
		t.Errorf("another file: got %v, %v", got, err)
	}
	for _, bad := range []string{"<html>", "example.org/m v1.0.0\n", "example.org/m v1.0.0 h1:AA==\n", "../m v1.0.0 " + h1zip} {
		if _, err := (Adapter{}).Locked("go.sum", []byte(bad), nil); err == nil {
			t.Errorf("read %q", bad)
		}
	}
}

func TestSetup(t *testing.T) {
	ups := []ecosystem.Upstream{{Alias: "go", URL: "https://proxy.example.org"}, {Alias: "go-2", URL: "https://two.example.org"}}
	s := Adapter{}.Setup(ecosystem.DoorRegistry, ecosystem.Base, ups)
	if want := ecosystem.Base + "/go," + ecosystem.Base + "/go-2,off"; s.Env["GOPROXY"] != want {
		t.Errorf("got %s, want %s", s.Env["GOPROXY"], want)
	}
	if v, ok := s.Env["GOSUMDB"]; ok {
		t.Errorf("recording: GOSUMDB=%s", v)
	}
	s = Adapter{}.Setup(ecosystem.DoorRegistry, ecosystem.Base, []ecosystem.Upstream{{Alias: "go"}})
	if s.Env["GOSUMDB"] != "off" {
		t.Errorf("replay: got %v", s.Env)
	}
	if s := (Adapter{}).Setup(ecosystem.DoorProxy, ecosystem.Base, ups); s.Env["GOPROXY"] != "https://proxy.example.org,https://two.example.org,off" || s.Env["GOVCS"] != "*:off" {
		t.Errorf("proxy: got %v", s.Env)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("/example.org/!mod/@v/list", []byte("v1.0.0\nv2.0.0+incompatible x\n"))
	f.Add("/example.org/!mod/@latest", []byte(infoText))
	f.Add("/sumdb/s/lookup/example.org/!mod@v1.0.0", []byte(lookup))
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		files, err := Adapter{}.Read(ask(path), "", "", body, nil)
		if err != nil {
			return
		}
		for _, file := range files {
			about := Adapter{}.Describe(file.Request)
			if about == nil || !about.Same(&file) {
				t.Errorf("%s: read %+v", path, file)
			}
		}
		out, dropped, err := Adapter{}.Change(ask(path), "", "", body, nil, &ecosystem.Edit{Keep: func(f *ecosystem.File) bool { return f.Version != "v1.0.0" }})
		if err != nil {
			return // the only version of @latest
		}
		if again, err := (Adapter{}).Read(ask(path), "", "", out, nil); err != nil || len(again) != len(files)-dropped {
			t.Errorf("%d files, %d dropped, then %d: %v", len(files), dropped, len(again), err)
		}
	})
}
