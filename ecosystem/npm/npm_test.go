package npm

import (
	"encoding/json"
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
	registry = "https://npm.example.org"
	sha512a  = "sha512-CQpnWPrDwmP1+SMHXZhtLtJv90yiyVfluGsX5iNCVkrhQtU3TQHsUWPG9wkdk9Lgd5yNpAg9jQEo90CBaXgWMA=="
	sha1a    = "65101baf3727d728b66fa62f50cda7f2d3989601"
)

// request is the recorder's map of addresses.
func request(address string) ecosystem.Request {
	if path, ok := strings.CutPrefix(address, registry); ok {
		return ecosystem.Request{Alias: "npm", Path: path}
	}
	_, path, _ := strings.Cut(strings.TrimPrefix(address, "https://"), "/")
	return ecosystem.Request{Alias: "xother", Path: "/" + path}
}

func index(path string) ecosystem.Request { return ecosystem.Request{Alias: "npm", Path: path} }

// version is a version of the package demo as registries describe it.
func version(v string, more ...string) string {
	text := `"name":"demo","version":"` + v + `","dist":{"tarball":"` + registry + `/demo/-/demo-` + v + `.tgz","integrity":"` + sha512a + `","shasum":"` + sha1a + `"}`
	return `"` + v + `":{` + strings.Join(append(more, text), ",") + `}`
}

// whole is a whole record, and short the same in the short form.
func whole(versions ...string) string {
	return `{"_id":"demo","_rev":"1-a","name":"demo","description":"A demo.","dist-tags":{"latest":"2.0.0","next":"3.0.0-rc.1","old":"1.0.0"},"versions":{` + strings.Join(versions, ",") +
		`},"time":{"created":"2020-01-01T00:00:00.000Z","modified":"2024-01-01T00:00:00.000Z","1.0.0":"2020-01-01T00:00:00.000Z","1.10.0":"2021-01-01T00:00:00.000Z","2.0.0":"2024-01-01T00:00:00.123Z"},` +
		`"readme":"# demo","maintainers":[{"name":"a","email":"a@example.org"}],"_attachments":{}}`
}

const short = `{"name":"demo","modified":"2024-01-01T00:00:00.000Z","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"demo","version":"1.0.0","hasInstallScript":true,"dist":{"tarball":"https://files.example.org/x/demo.tgz?a=1","shasum":"` + sha1a + `"}}}}`

func TestRead(t *testing.T) {
	hash, err := pir.ParseHash(sha512a)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Adapter{}.Read(index("/demo"), registry+"/demo", "application/json", []byte(whole(version("2.0.0", `"license":"MIT"`))), request)
	want := []ecosystem.File{{
		Request: index("/demo/-/demo-2.0.0.tgz"), Package: "demo", Version: "2.0.0", Name: "demo-2.0.0.tgz", Promised: hash, Weak: "sha1:" + sha1a,
		Released: time.Date(2024, 1, 1, 0, 0, 0, 123e6, time.UTC), License: "MIT", Origin: nuon.Record{"kind": "npm", "name": "demo", "version": "2.0.0"},
	}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(pir.Hash{})); d != "" || err != nil {
		t.Errorf("whole: %v (-want +got)\n%s", err, d)
	}
	got, err = Adapter{}.Read(index("/demo"), registry+"/demo", "application/vnd.npm.install-v1+json", []byte(short), request)
	want = []ecosystem.File{{
		Request: ecosystem.Request{Alias: "xother", Path: "/x/demo.tgz?a=1"}, Package: "demo", Version: "1.0.0", Name: "demo.tgz", Weak: "sha1:" + sha1a,
		Origin: nuon.Record{"kind": "npm", "name": "demo", "version": "1.0.0"},
	}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(pir.Hash{})); d != "" || err != nil {
		t.Errorf("short: %v (-want +got)\n%s", err, d)
	}
	scoped := strings.NewReplacer(`"name":"demo"`, `"name":"@s/demo"`, "/demo/-/", "/@s/demo/-/").Replace(whole(version("1.0.0")))
	for _, path := range []string{"/@s%2Fdemo", "/@s/demo"} {
		if got, err := (Adapter{}).Read(index(path), registry+path, "", []byte(scoped), request); err != nil || len(got) != 1 || got[0].Package != "@s/demo" {
			t.Errorf("%s: got %v, %v", path, got, err)
		}
	}
	// A record of one version, by the version and by a tag.
	one := strings.TrimPrefix(version("2.0.0"), `"2.0.0":`)
	for _, path := range []string{"/demo/2.0.0", "/demo/latest"} {
		if got, err := (Adapter{}).Read(index(path), registry+path, "", []byte(one), request); err != nil || len(got) != 1 || got[0].Version != "2.0.0" {
			t.Errorf("%s: got %v, %v", path, got, err)
		}
	}
}

// TestReadRefuses has answers that are no record of the package that was asked for.
func TestReadRefuses(t *testing.T) {
	good := whole(version("1.0.0"))
	for name, c := range map[string]struct{ body, want string }{
		"a page":                   {"<!DOCTYPE html><html><body>Log in</body></html>", "invalid character"},
		"nothing":                  {"", "unexpected end"},
		"cut off":                  {good[:len(good)/2], "unexpected end"},
		"a list":                   {"[]", "want an object"},
		"an error":                 {`{"error":"not_found"}`, "it names the package"},
		"no versions":              {`{"name":"demo"}`, "no versions"},
		"another package":          {strings.ReplaceAll(good, `"name":"demo"`, `"name":"other"`), `it names the package "other"`},
		"another package's file":   {strings.ReplaceAll(good, "/demo/-/demo-", "/other/-/other-"), "its file is that of other 1.0.0"},
		"another version's file":   {strings.ReplaceAll(good, "/-/demo-1.0.0", "/-/demo-9.0.0"), "its file is that of demo 9.0.0"},
		"a version of another":     {strings.Replace(good, `"1.0.0":{"name":"demo"`, `"1.0.0":{"name":"other"`, 1), `package "other"`},
		"another version inside":   {strings.Replace(good, `"version":"1.0.0"`, `"version":"1.0.1"`, 1), `"1.0.1"`},
		"a version twice":          {whole(version("1.0.0"), version("1.0.0")), `"1.0.0" twice`},
		"a key twice":              {strings.Replace(good, `"name":"demo"`, `"name":"demo","name":"demo"`, 1), `"name" twice`},
		"versions are a list":      {strings.Replace(good, `"versions":{`, `"versions":[{`, 1), "invalid character"},
		"a version is a number":    {whole(`"1.0.0":1`), "want an object"},
		"dist is a text":           {whole(`"1.0.0":{"name":"demo","version":"1.0.0","dist":"x"}`), "dist"},
		"no dist":                  {whole(`"1.0.0":{"name":"demo","version":"1.0.0"}`), "dist"},
		"no address":               {whole(`"1.0.0":{"name":"demo","version":"1.0.0","dist":{}}`), "no address"},
		"an address is a number":   {whole(`"1.0.0":{"name":"demo","version":"1.0.0","dist":{"tarball":1}}`), "no address"},
		"line ends in an address":  {strings.Replace(good, "/demo-1.0.0.tgz", `/demo-1.0.0.tgz\r\nHost: x`, 1), "no address"},
		"a password in an address": {strings.Replace(good, "https://npm.", "https://u:p@npm.", 1), "no address"},
		"a local file":             {strings.Replace(good, registry, "file://", 1), "no address"},
		"another scheme":           {strings.Replace(good, "https://npm.", "ftp://npm.", 1), "no address"},
		"a script":                 {strings.Replace(good, registry+"/demo/-/demo-1.0.0.tgz", "javascript:alert(1)", 1), "no address"},
		"a version with a slash":   {strings.ReplaceAll(good, "1.0.0", "1/../../x"), "no version"},
		"a version of 1 MB":        {strings.ReplaceAll(good, "1.0.0", "1"+strings.Repeat("0", 1<<20)), "no version"},
		"a short hash":             {strings.Replace(good, sha512a, "sha512-AAAA", 1), "digest has 3 bytes"},
		"a hash that is none":      {strings.Replace(good, sha512a, "sha512-%%", 1), "illegal base64"},
		"a short sum":              {strings.Replace(good, sha1a, "00", 1), "no SHA-1"},
		"nested without end":       {strings.Repeat(`{"name":`, 1<<16), "exceeded max depth"},
	} {
		files, err := Adapter{}.Read(index("/demo"), registry+"/demo", "", []byte(c.body), request)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 1000 {
			t.Errorf("%s: got %d files, %.1000v, want %q", name, len(files), err, c.want)
		}
		if _, _, err := (Adapter{}).Change(index("/demo"), registry+"/demo", "", []byte(c.body), request, &ecosystem.Edit{}); err == nil {
			t.Errorf("%s: was changed", name)
		}
	}
}

// TestChange drops versions, moves tags and addresses, and cuts what no client reads.
func TestChange(t *testing.T) {
	body := []byte(whole(version("1.0.0", `"scripts":{"test":"x"},"readme":"long","_npmUser":{}`), version("1.9.0"), version("1.10.0", `"scripts":{"postinstall":"x"},"os":["linux"],"engines":{"node":">=10"},"optionalDependencies":{"a":"1.0.0"}`),
		version("2.0.0"), version("3.0.0-rc.1"), version("4.0.0")))
	for name, c := range map[string]struct {
		keep, latest string
		tags         string
	}{
		"all":                       {"1.0.0 1.9.0 1.10.0 2.0.0 3.0.0-rc.1 4.0.0", "2.0.0", "latest next old"},
		"without the latest":        {"1.0.0 1.9.0 1.10.0 3.0.0-rc.1 4.0.0", "1.10.0", "latest next old"},
		"only newer ones":           {"3.0.0-rc.1 4.0.0", "4.0.0", "latest next"},
		"only a pre-release":        {"3.0.0-rc.1", "3.0.0-rc.1", "latest next"},
		"none":                      {"", "", ""},
		"one that is not the first": {"1.9.0", "1.9.0", "latest"},
	} {
		kept := strings.Fields(c.keep)
		e := &ecosystem.Edit{Lean: true, Keep: func(f *ecosystem.File) bool { return strings.Contains(" "+c.keep+" ", " "+f.Version+" ") },
			Address: func(u string) string { return strings.Replace(u, registry, ecosystem.Base+"/npm", 1) }}
		out, dropped, err := Adapter{}.Change(index("/demo"), registry+"/demo", "", body, request, e)
		if err != nil || dropped != 6-len(kept) {
			t.Errorf("%s: dropped %d, %v", name, dropped, err)
			continue
		}
		var got struct {
			Tags     map[string]string `json:"dist-tags"`
			Versions map[string]struct{ Dist struct{ Tarball string } }
			Time     map[string]string
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Versions) != len(kept) || got.Tags["latest"] != c.latest || len(got.Tags) != len(strings.Fields(c.tags)) {
			t.Errorf("%s: got %s", name, out)
		}
		for v, one := range got.Versions {
			if want := ecosystem.Base + "/npm/demo/-/demo-" + v + ".tgz"; one.Dist.Tarball != want {
				t.Errorf("%s: got %s, want %s", name, one.Dist.Tarball, want)
			}
		}
		for _, no := range []string{"readme", "maintainers", "_rev", "_npmUser", "description", "created", `"scripts"`} {
			if strings.Contains(string(out), no) {
				t.Errorf("%s: %s is still there: %s", name, no, out)
			}
		}
		// What was changed is read as before, and a second change with the same edit changes nothing.
		own := func(u string) ecosystem.Request {
			return ecosystem.Request{Alias: "npm", Path: strings.TrimPrefix(u, ecosystem.Base+"/npm")}
		}
		if files, err := (Adapter{}).Read(index("/demo"), registry+"/demo", "", out, own); err != nil || len(files) != len(kept) {
			t.Errorf("%s: the changed index: %d files, %v", name, len(files), err)
		}
		if again, _, err := (Adapter{}).Change(index("/demo"), registry+"/demo", "", out, own, e); err != nil || string(again) != string(out) {
			t.Errorf("%s: changed twice: %v\n%s\n%s", name, err, out, again)
		}
	}
	out, _, _ := Adapter{}.Change(index("/demo"), registry+"/demo", "", body, request, &ecosystem.Edit{Lean: true})
	for _, want := range []string{`"optionalDependencies":{"a":"1.0.0"}`, `"os":["linux"]`, `{"node":">=10"}`, `"hasInstallScript":true`, `"1.10.0":"2021-01-01T00:00:00.000Z"`} {
		if strings.Count(string(out), want) != 1 {
			t.Errorf("want %s once in %s", want, out)
		}
	}
	// Without an edit the record says what it said, also what no client reads.
	if out, _, _ := (Adapter{}).Change(index("/demo"), registry+"/demo", "", body, request, &ecosystem.Edit{}); string(out) != string(body) {
		t.Errorf("no edit: got %s", out)
	}
	one := strings.TrimPrefix(version("2.0.0"), `"2.0.0":`)
	if _, _, err := (Adapter{}).Change(index("/demo/latest"), registry+"/demo/latest", "", []byte(one), request, &ecosystem.Edit{Keep: func(*ecosystem.File) bool { return false }}); err == nil {
		t.Error("a record of one version without it")
	}
}

func TestNamed(t *testing.T) {
	body := []byte(whole(version("1.0.0", `"optionalDependencies":{"@s/linux":"1.0.0","@s/win":" =1.0.0 ","r":"^1.0.0","t":"latest","g":"git://example.org/x","x":"1.x","y":"1"}`), version("2.0.0", `"dependencies":{"no":"1.0.0"}`)))
	got, err := Adapter{}.Named(index("/demo"), registry+"/demo", body, request, func(f *ecosystem.File) bool { return f.Version == "1.0.0" })
	want := []ecosystem.File{{Package: "@s/linux", Version: "1.0.0"}, {Package: "@s/win", Version: "1.0.0"}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(pir.Hash{})); d != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
}

func TestRequests(t *testing.T) {
	for path, want := range map[string]struct {
		class ecosystem.Class
		about string
	}{
		"/demo":                           {ecosystem.Index, ""},
		"/@s%2Fdemo":                      {ecosystem.Index, ""},
		"/demo/latest":                    {ecosystem.Index, ""},
		"/demo/-/demo-1.0.0.tgz":          {ecosystem.Artefact, "demo 1.0.0"},
		"/@s/demo/-/demo-1.0.0-rc.1.tgz":  {ecosystem.Artefact, "@s/demo 1.0.0-rc.1"},
		"/@s%2Fdemo/-/@s/demo-1.0.0.tgz":  {ecosystem.Artefact, "@s/demo 1.0.0"},
		"/api/npm/demo/-/demo-1.0.0.tgz":  {ecosystem.Artefact, "demo 1.0.0"},
		"/download/@s/demo/1.0.0/0a.tgz":  {ecosystem.Artefact, ""},
		"/demo/-/other-1.0.0.tgz":         {ecosystem.Artefact, ""},
		"/demo/-/demo-x.tgz":              {ecosystem.Artefact, ""},
		"/-/npm/v1/keys":                  {ecosystem.Text, ""},
		"/-/npm/v1/attestations/demo@1.0": {ecosystem.Text, ""},
	} {
		r := index(path)
		about := ""
		if f := (Adapter{}).Describe(r); f != nil {
			about = f.Package + " " + f.Version
		}
		if got := (Adapter{}).Classify(r); got != want.class || about != want.about {
			t.Errorf("%s: got %s %q, want %s %q", path, got, about, want.class, want.about)
		}
	}
	for _, accept := range []string{"application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*", "application/json"} {
		if v, ask := (Adapter{}).Variant("/demo", accept); v != "" || ask != "application/json" {
			t.Errorf("%s: got %q %q", accept, v, ask)
		}
	}
}

func TestDate(t *testing.T) {
	q, read, ok := Adapter{}.Date(index("/@s/demo/-/demo-2.0.0.tgz"), "2.0.0")
	if !ok || q.Path != "/@s%2Fdemo" {
		t.Fatalf("got %v, %v", q, ok)
	}
	body := strings.ReplaceAll(whole(version("2.0.0")), `"name":"demo"`, `"name":"@s/demo"`)
	if got := read(http.Header{}, []byte(body)); got.Year() != 2024 {
		t.Errorf("got %v", got)
	}
	for _, no := range []string{whole(version("2.0.0")), short, "<html>", `{"name":"@s/demo","time":{"2.0.0":1}}`, `{"name":"@s/demo","time":{"2.0.0":"x"}}`} {
		if got := read(http.Header{}, []byte(no)); !got.IsZero() {
			t.Errorf("%.60s: got %v", no, got)
		}
	}
	for _, path := range []string{"/demo", "/-/npm/v1/keys"} {
		if _, _, ok := (Adapter{}).Date(index(path), "1.0.0"); ok {
			t.Errorf("%s: there is another question", path)
		}
	}
}

func TestLocked(t *testing.T) {
	lock := `{"name":"p","lockfileVersion":3,"packages":{"":{"name":"p"},"lib":{"version":"1.0.0"},"node_modules/lib":{"resolved":"lib","link":true},
		"node_modules/demo":{"version":"1.0.0","resolved":"` + registry + `/demo/-/demo-1.0.0.tgz","integrity":"` + sha512a + `"},
		"node_modules/a/node_modules/@s/demo":{"version":"2.0.0","resolved":"` + registry + `/@s/demo/-/demo-2.0.0.tgz","integrity":"sha1-ZRAbrzcn1yi2b6YvUM2n8tOYlgE="},
		"node_modules/alias":{"name":"real","version":"3.0.0","resolved":"` + registry + `/real/-/real-3.0.0.tgz"},
		"node_modules/g":{"version":"1.0.0","resolved":"git+ssh://git@example.org/x.git#0"}}}`
	got, err := Adapter{}.Locked("/p/package-lock.json", []byte(lock), request)
	var text []string
	for _, f := range got {
		text = append(text, f.Package+" "+f.Version+" "+f.Request.Path+" "+f.Promised.String()+f.Weak)
	}
	want := []string{"@s/demo 2.0.0 /@s/demo/-/demo-2.0.0.tgz sha1:" + sha1a, "real 3.0.0 /real/-/real-3.0.0.tgz ", "demo 1.0.0 /demo/-/demo-1.0.0.tgz sha512-" + got[2].Promised.String()[7:]}
	if d := cmp.Diff(want, text); d != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
	if got, err := (Adapter{}).Locked("yarn.lock", []byte(lock), request); got != nil || err != nil {
		t.Errorf("another file: got %v, %v", got, err)
	}
	for _, bad := range []string{"{", `{"packages":[]}`, strings.Replace(lock, sha512a, "sha512-AA", 1)} {
		if _, err := (Adapter{}).Locked("package-lock.json", []byte(bad), request); err == nil {
			t.Errorf("read %.100s", bad)
		}
	}
}

func TestSetup(t *testing.T) {
	ups := []ecosystem.Upstream{{Alias: "npm", URL: registry}, {Alias: "npm-2", URL: "https://s.example.org", Scope: "@s"}}
	s := Adapter{}.Setup(ecosystem.DoorRegistry, ecosystem.Base, ups)
	if got := s.Env["npm_config_registry"]; got != ecosystem.Base+"/npm/" {
		t.Errorf("registry: got %s", got)
	}
	if got := s.Env["npm_config_@s:registry"]; got != ecosystem.Base+"/npm-2/" {
		t.Errorf("scope: got %s", got)
	}
	want := "registry=" + ecosystem.Base + "/npm/\n@s:registry=" + ecosystem.Base + "/npm-2/\n"
	if s.Files[Config] != want || s.Env["npm_config_userconfig"] != ecosystem.SetupDir+"/"+Config {
		t.Errorf("file: got %q", s.Files[Config])
	}
	for _, name := range []string{"YARN_REGISTRY", "YARN_NPM_REGISTRY_SERVER"} { // of Yarn 1, and of later ones
		if got := s.Env[name]; got != ecosystem.Base+"/npm/" {
			t.Errorf("%s: got %s", name, got)
		}
	}
	if s := (Adapter{}).Setup(ecosystem.DoorProxy, ecosystem.Base, []ecosystem.Upstream{{Alias: "npm"}}); s.Env["npm_config_registry"] != ecosystem.Base+"/npm/" {
		t.Errorf("a replay, which knows no address: got %v", s.Env)
	}
	if s := (Adapter{}).Setup(ecosystem.DoorProxy, ecosystem.Base, ups); s.Env["npm_config_registry"] != registry+"/" || s.Env["npm_config_cafile"] == "" || s.Env["npm_config_replace_registry_host"] != "" {
		t.Errorf("proxy: got %v", s.Env)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(whole(version("1.0.0"), version("2.0.0", `"license":{"type":"MIT"}`))))
	f.Add([]byte(short))
	f.Fuzz(func(t *testing.T, body []byte) {
		files, err := Adapter{}.Read(index("/demo"), registry+"/demo", "", body, request)
		if err != nil {
			return
		}
		for _, file := range files {
			if file.Package != "demo" || !isVersion(file.Version) {
				t.Errorf("read %q %q", file.Package, file.Version)
			}
		}
		out, dropped, err := Adapter{}.Change(index("/demo"), registry+"/demo", "", body, request, &ecosystem.Edit{Lean: true, Keep: func(f *ecosystem.File) bool { return f.Version != "1.0.0" }})
		if err != nil {
			t.Fatal(err)
		}
		again, err := Adapter{}.Read(index("/demo"), registry+"/demo", "", out, request)
		if err != nil || len(again) != len(files)-dropped {
			t.Errorf("%d files, %d dropped, then %d: %v", len(files), dropped, len(again), err)
		}
	})
}
