package maven

import (
	"encoding/xml"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/ecosystem"
)

func ask(path string) ecosystem.Request { return ecosystem.Request{Alias: "maven", Path: path} }

const (
	ofDemo = "/org/example/demo/maven-metadata.xml"
	plugs  = `<metadata><plugins><plugin><name>Demo</name><prefix>demo</prefix><artifactId>demo-maven-plugin</artifactId></plugin></plugins></metadata>`
)

func document(latest, release string, versions ...string) string {
	text := ""
	for _, v := range versions {
		text += "\n      <version>" + v + "</version>"
	}
	return `<?xml version="1.0" encoding="UTF-8"?>
<metadata modelVersion="1.1.0">
  <!-- made by hand -->
  <groupId>org.example</groupId>
  <artifactId>demo</artifactId>
  <versioning>
    <latest>` + latest + `</latest>
    <release>` + release + `</release>
    <versions>` + text + `
    </versions>
    <lastUpdated>20261019210044</lastUpdated>
  </versioning>
</metadata>
`
}

const snapshot = `<metadata><groupId>org.example</groupId><artifactId>demo</artifactId><version>2.0-SNAPSHOT</version><versioning><snapshot><timestamp>20200101.000000</timestamp><buildNumber>1</buildNumber></snapshot></versioning></metadata>`

func TestRead(t *testing.T) {
	for _, c := range []struct{ path, body, want string }{
		{ofDemo, document("2.0-SNAPSHOT", "1.1", "1.0", "1.1", "2.0-SNAPSHOT"), "org.example:demo 1.0,org.example:demo 1.1,org.example:demo 2.0-SNAPSHOT"},
		{"/repo/maven2" + ofDemo, document("1.0", "1.0", "1.0", "1.0"), "org.example:demo 1.0"},
		{"/org/example/maven-metadata.xml", plugs, ""},
		{"/org/example/demo/2.0-SNAPSHOT/maven-metadata.xml", snapshot, ""},
		{ofDemo, "<metadata/>", ""},
	} {
		files, err := Adapter{}.Read(ask(c.path), "", "text/xml", []byte(c.body), nil)
		var got []string
		for _, f := range files {
			got = append(got, f.Package+" "+f.Version)
		}
		if strings.Join(got, ",") != c.want || err != nil {
			t.Errorf("%s: got %s, %v, want %s", c.path, got, err, c.want)
		}
		if out, dropped, err := (Adapter{}).Change(ask(c.path), "", "", []byte(c.body), nil, &ecosystem.Edit{Lean: true}); string(out) != c.body || dropped != 0 || err != nil {
			t.Errorf("%s: changed without an edit: %s, %d, %v", c.path, out, dropped, err)
		}
	}
}

// TestReadRefuses has answers that are no metadata of what was asked for.
func TestReadRefuses(t *testing.T) {
	good := document("1.0", "1.0", "1.0")
	bomb := `<?xml version="1.0"?><!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><metadata><groupId>&c;</groupId></metadata>`
	for _, c := range []struct{ name, path, body, want string }{
		{"a page", ofDemo, "<!DOCTYPE html><html><body>Log in</body></html>", "document type"},
		{"a page without a type", ofDemo, "<html><body><p>Log in</body></html>", `root is "html"`},
		{"nothing", ofDemo, "", "empty"},
		{"JSON", ofDemo, `{"versions":["1.0"]}`, "empty"},
		{"cut off", ofDemo, good[:len(good)/2], "EOF"},
		{"entities", ofDemo, bomb, "document type"},
		{"an unknown entity", ofDemo, strings.Replace(good, "<version>1.0<", "<version>&x;<", 1), "invalid character entity"},
		{"a file's entity", ofDemo, strings.Replace(good, "<metadata", `<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]><metadata`, 1), "document type"},
		{"another artifact", ofDemo, strings.Replace(good, "<artifactId>demo", "<artifactId>other", 1), "it is of org.example:other"},
		{"another group", ofDemo, strings.Replace(good, "<groupId>org.example", "<groupId>org.other", 1), "it is of org.other:demo"},
		{"no group", ofDemo, strings.Replace(good, "<groupId>org.example</groupId>", "", 1), "it names"},
		{"versions of no artifact", ofDemo, strings.Replace(good, "<artifactId>demo</artifactId>", "", 1), "versions of no artifact"},
		{"of the artifact, for a version", "/org/example/demo/1.0/maven-metadata.xml", good, "it is of org.example:demo"},
		{"a version with a slash", ofDemo, document("1.0", "1.0", "../../x"), "no version"},
		{"a range", ofDemo, document("1.0", "1.0", "[1.0,)"), "no version"},
		{"line ends", ofDemo, document("1.0", "1.0", "1.0&#13;&#10;Host: x"), "no version"},
		{"a huge version", ofDemo, document("1.0", "1.0", strings.Repeat("1", 1<<20)), "no version"},
		{"nested", ofDemo, "<metadata>" + strings.Repeat("<a>", 1<<20), "nested deeper"},
		{"another encoding", ofDemo, strings.Replace(good, "UTF-8", "UTF-7", 1), "not supported"},
		{"two roots", ofDemo, good + "<html/>", `root is "html"`},
	} {
		files, err := Adapter{}.Read(ask(c.path), "", "", []byte(c.body), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 1000 {
			t.Errorf("%s: got %d files, %.500v, want %q", c.name, len(files), err, c.want)
		}
		if _, _, err := (Adapter{}).Change(ask(c.path), "", "", []byte(c.body), nil, &ecosystem.Edit{}); err == nil {
			t.Errorf("%s: was changed", c.name)
		}
	}
}

func TestChange(t *testing.T) {
	body := document("3.0-SNAPSHOT", "2.0", "1.0", "1.1", "2.0", "3.0-SNAPSHOT")
	for name, c := range map[string]struct {
		keep    string
		latest  string
		release string
	}{
		"all":              {"1.0 1.1 2.0 3.0-SNAPSHOT", "3.0-SNAPSHOT", "2.0"},
		"without the last": {"1.0 1.1 3.0-SNAPSHOT", "3.0-SNAPSHOT", "1.1"},
		"one":              {"1.0", "1.0", "1.0"},
		"a snapshot":       {"3.0-SNAPSHOT", "3.0-SNAPSHOT", ""},
		"none":             {"", "", ""},
	} {
		out, dropped, err := Adapter{}.Change(ask(ofDemo), "", "", []byte(body), nil, &ecosystem.Edit{Keep: func(f *ecosystem.File) bool { return strings.Contains(" "+c.keep+" ", " "+f.Version+" ") }})
		kept := strings.Fields(c.keep)
		if err != nil || dropped != 4-len(kept) {
			t.Errorf("%s: dropped %d, %v", name, dropped, err)
		}
		var got struct {
			Latest   string   `xml:"versioning>latest"`
			Release  string   `xml:"versioning>release"`
			Versions []string `xml:"versioning>versions>version"`
			Updated  string   `xml:"versioning>lastUpdated"`
		}
		if err := xml.Unmarshal(out, &got); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		if got.Latest != c.latest || got.Release != c.release || strings.Join(got.Versions, " ") != c.keep || got.Updated == "" || !strings.Contains(string(out), "made by hand") {
			t.Errorf("%s: got %s", name, out)
		}
	}
}

func TestRequests(t *testing.T) {
	for path, want := range map[string]struct {
		class ecosystem.Class
		about string
		file  any
	}{
		"/org/example/demo/1.0/demo-1.0.jar":                            {ecosystem.Artefact, "org.example:demo 1.0", nil},
		"/org/example/demo/1.0/demo-1.0.pom":                            {ecosystem.Artefact, "org.example:demo 1.0", "demo-1.0.pom"},
		"/org/example/demo/1.0/demo-1.0.module":                         {ecosystem.Artefact, "org.example:demo 1.0", "demo-1.0.module"},
		"/org/example/demo/1.0/demo-1.0-sources.jar":                    {ecosystem.Artefact, "org.example:demo 1.0", "demo-1.0-sources.jar"},
		"/junit/junit/4.13/junit-4.13.jar":                              {ecosystem.Artefact, "junit:junit 4.13", nil},
		"/org/example/demo/2.0-SNAPSHOT/demo-2.0-20200101.000000-1.jar": {ecosystem.Artefact, "org.example:demo 2.0-SNAPSHOT", nil},
		"/org/example/demo/1.0/demo-1.0.jar.sha1":                       {ecosystem.Text, "", nil},
		"/org/example/demo/1.0/demo-1.0.jar.asc":                        {ecosystem.Text, "", nil},
		"/org/example/demo/maven-metadata.xml":                          {ecosystem.Index, "", nil},
		"/org/example/demo/maven-metadata.xml.sha1":                     {ecosystem.Text, "", nil},
		"/archetype-catalog.xml":                                        {ecosystem.Artefact, "", nil},
		"/org/example/demo/1.0/other-1.0.jar":                           {ecosystem.Artefact, "", nil},
		"/org/example/demo/1.0/demo-1.0":                                {ecosystem.Artefact, "", nil},
		"/org/example/demo/1.0/demo-1.01.jar":                           {ecosystem.Artefact, "", nil},
		"/.meta/prefixes":                                               {ecosystem.Text, "", nil},
	} {
		r, about, file := ask(path), "", any(nil)
		if f := (Adapter{}).Describe(r); f != nil {
			about = f.Package + " " + f.Version
			file = f.Origin["file"]
		}
		if got := (Adapter{}).Classify(r); got != want.class || about != want.about || file != want.file {
			t.Errorf("%s: got %s %q %v, want %s %q %v", ofDemo, got, about, file, want.class, want.about, want.file)
		}
	}
}

func TestProof(t *testing.T) {
	const sum = "8ac9e16d933b6fb43bc7f576336b8f4d7eb5ba12"
	q, read, ok := Adapter{}.Proof(ask("/junit/junit/4.13/junit-4.13.jar"))
	if !ok || q != ask("/junit/junit/4.13/junit-4.13.jar.sha1") {
		t.Fatalf("got %v, %v", q, ok)
	}
	for text, want := range map[string]string{
		sum: "sha1:" + sum, strings.ToUpper(sum) + "\n": "sha1:" + sum, sum + "  junit-4.13.jar\n": "sha1:" + sum, "SHA1(junit-4.13.jar)= " + sum: "sha1:" + sum,
		"": "", "<html>": "", sum[:38]: "", strings.Repeat(" ", 2000) + sum: "", sum + sum: "",
	} {
		if h, got := read([]byte(text)); got != want || !h.IsZero() {
			t.Errorf("%.60q: got %s %s, want %s", text, h, got, want)
		}
	}
	for _, no := range []string{ofDemo, ofDemo + ".sha1", "/junit/junit/4.13/junit-4.13.jar.sha1"} {
		if q, _, ok := (Adapter{}).Proof(ask(no)); ok {
			t.Errorf("%s: there is a proof, %v", no, q)
		}
	}
}

func TestDate(t *testing.T) {
	for _, from := range []string{ofDemo, "/org/example/demo/1.0/demo-1.0.jar", "/org/example/demo/1.0/demo-1.0.pom"} {
		q, read, ok := Adapter{}.Date(ask(from), "1.0")
		if !ok || q != ask("/org/example/demo/1.0/demo-1.0.pom") {
			t.Errorf("%s: got %v, %v", from, q, ok)
			continue
		}
		if got := read(http.Header{"Last-Modified": {"Sat, 13 Feb 2021 16:23:11 GMT"}}, nil); got.Year() != 2021 {
			t.Errorf("got %v", got)
		}
		for _, bad := range []http.Header{{}, {"Last-Modified": {"yesterday"}}} {
			if got := read(bad, nil); !got.IsZero() {
				t.Errorf("%v: got %v", bad, got)
			}
		}
	}
	for from, version := range map[string]string{ofDemo: "1.0-SNAPSHOT", "/x/y/z/maven-metadata.xml": "../x", "/x.sha1": "1.0"} {
		if q, _, ok := (Adapter{}).Date(ask(from), version); ok {
			t.Errorf("%s %s: there is a question, %v", from, version, q)
		}
	}
}

func TestSetup(t *testing.T) {
	s := Adapter{}.Setup(ecosystem.DoorRegistry, ecosystem.Base, []ecosystem.Upstream{{Alias: "maven"}, {Alias: "maven-2"}, {Alias: "maven-3", Scope: "corp"}})
	var got settings
	if err := xml.Unmarshal([]byte(s.Files[Config]), &got); err != nil {
		t.Fatal(err)
	}
	more := []place{{"nuka-maven-2", ecosystem.Base + "/maven-2", ""}}
	want := settings{
		XMLName: xml.Name{Local: "settings"}, Local: Cache, Profiles: []profile{{"nuka", more, more}}, Active: []string{"nuka"},
		Mirrors: []place{{"nuka-maven-3", ecosystem.Base + "/maven-3", "corp"}, {"nuka-maven", ecosystem.Base + "/maven", "*,!nuka-maven-2,!corp"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	got = settings{}
	s = Adapter{}.Setup(ecosystem.DoorProxy, ecosystem.Base, nil)
	if err := xml.Unmarshal([]byte(s.Files[Config]), &got); err != nil || len(got.Proxies) != 2 || got.Proxies[0].Host != "127.0.0.1" || got.Proxies[0].Port != "3128" || len(got.Mirrors) != 0 {
		t.Errorf("proxy: got %+v, %v", got, err)
	}
	for _, want := range []string{"-Dmaven.conf=" + ecosystem.SetupDir + "/maven", "securityMode=insecure"} {
		if !strings.Contains(s.Env["MAVEN_OPTS"], want) {
			t.Errorf("proxy: got %v, want %s", s.Env, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(document("2.0", "2.0", "1.0", "2.0", "2.0")))
	f.Add([]byte(plugs))
	f.Add([]byte(snapshot))
	f.Fuzz(func(t *testing.T, body []byte) {
		files, err := Adapter{}.Read(ask(ofDemo), "", "", body, nil)
		if err != nil {
			return
		}
		for _, file := range files {
			if file.Package != "org.example:demo" || !isVersion(file.Version) {
				t.Errorf("read %+v", file)
			}
		}
		out, dropped, err := Adapter{}.Change(ask(ofDemo), "", "", body, nil, &ecosystem.Edit{Keep: func(f *ecosystem.File) bool { return f.Version != "1.0" }})
		if err != nil {
			t.Fatal(err)
		}
		again, err := Adapter{}.Read(ask(ofDemo), "", "", out, nil)
		if err != nil || len(again) != len(files)-dropped {
			t.Errorf("%d files, %d dropped, then %d: %v\n%s\n%s", len(files), dropped, len(again), err, body, out)
		}
	})
}

var (
	_ ecosystem.Dater  = Adapter{}
	_ ecosystem.Prover = Adapter{}
)
