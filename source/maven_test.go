package source

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/kind"
)

// makeJar writes a jar as Maven's own, whose POM names a repository.
func makeJar(t *testing.T, file, url string) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(superPOM)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(`<project><repositories><repository><id>central</id><url>` + url + `</url></repository></repositories></project>`)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestMaven has typical settings.
func TestMaven(t *testing.T) {
	files := map[string]string{
		"/m/org/example/demo/1.0/demo-1.0.pom": "<project/>", "/m/org/example/demo/1.0/demo-1.0.jar": "jar", "/m/org/example/demo/1.0/demo-1.0-sources.jar": "sources",
		"/m/org/example/demo/maven-metadata.xml": "<metadata><versioning><latest>2.0-rc1</latest><release>1.0</release><versions><version>0.9</version><version>1.0</version><version>2.0-rc1</version></versions></versioning></metadata>",
		"/second/org/example/more/1/more-1.pom":  "<project/>", "/second/org/example/more/1/more-1.jar": "more",
	}
	want := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := files[r.URL.Path]
		switch {
		case r.Header.Get("Authorization")+r.Header.Get("Private-Token") != want:
			w.WriteHeader(http.StatusUnauthorized)
		case !ok:
			http.NotFound(w, r)
		default:
			w.Write([]byte(body))
		}
	}))
	defer server.Close()
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:pa<ss"))
	const all = "<mirror><id>m</id><url>BASE/m/</url><mirrorOf>*</mirrorOf></mirror>"
	settings := func(mirrors, more string) string {
		return "<settings xmlns=\"http://example.org/settings\"><mirrors>" + mirrors + "</mirrors>" + more + "</settings>"
	}
	login := "<servers><server><id>m</id><username>me</username><password>${env.SECRET}</password></server></servers>"
	for name, c := range map[string]struct {
		files   map[string]string
		env     map[string]string
		own     string // the repository of Maven's own POM
		name    string
		version string
		file    string
		auth    string
		want    string // in the error
	}{
		"the user's":          {files: map[string]string{"home/.m2/settings.xml": settings(all, "")}},
		"the system's":        {files: map[string]string{"system/etc/maven/settings.xml": settings(all, "")}},
		"Maven's folder":      {files: map[string]string{"mvn/conf/settings.xml": settings(all, "")}, env: map[string]string{"MAVEN_HOME": "DIR/mvn"}},
		"the user's first":    {files: map[string]string{"home/.m2/settings.xml": settings(all, ""), "system/etc/maven/settings.xml": settings(strings.Replace(all, "BASE", "http://other.invalid", 1), "")}},
		"a mirror of central": {files: map[string]string{"home/.m2/settings.xml": settings(strings.Replace(all, "*", "central", 1), "")}},
		"a list":              {files: map[string]string{"home/.m2/settings.xml": settings(strings.Replace(all, "*", "x, external:*,!y", 1), "")}},
		"not central":         {files: map[string]string{"home/.m2/settings.xml": settings(strings.Replace(all, "*", "*,!central", 1), "")}, own: "BASE/second", name: "org.example:more", version: "1"},
		"the very id first":   {files: map[string]string{"home/.m2/settings.xml": settings(strings.Replace(all, "/m/", "/nothing/", 1)+strings.Replace(all, "*", "central", 1), "")}, own: "http://other.invalid"},
		"Maven's own":         {own: "BASE/m"},
		"a profile":           {files: map[string]string{"home/.m2/settings.xml": settings("", "<profiles><profile><id>p</id><repositories><repository><id>r</id><url>BASE/second</url></repository></repositories></profile></profiles><activeProfiles><activeProfile>p</activeProfile></activeProfiles>")}, own: "BASE/m", name: "org.example:more", version: "1"},
		"no active profile":   {files: map[string]string{"home/.m2/settings.xml": settings("", "<profiles><profile><id>p</id><repositories><repository><id>r</id><url>BASE/second</url></repository></repositories></profile></profiles>")}, own: "BASE/m", name: "org.example:more", version: "1", want: "404"},
		"a file":              {own: "BASE/m", file: "demo-1.0-sources.jar"},
		"a login":             {files: map[string]string{"home/.m2/settings.xml": settings(all, login)}, env: map[string]string{"SECRET": "pa<ss"}, auth: basic},
		"an unset variable":   {files: map[string]string{"home/.m2/settings.xml": settings(all, login)}, auth: basic, want: "variable that is not set"},
		"an encrypted one":    {files: map[string]string{"home/.m2/settings.xml": settings(all, strings.Replace(login, "${env.SECRET}", "{COQLCE6DU6GtcS5P=}", 1))}, want: "encrypted"},
		"another's login":     {files: map[string]string{"home/.m2/settings.xml": settings(all, strings.Replace(login, "<id>m<", "<id>n<", 1))}, env: map[string]string{"SECRET": "x"}},
		"a header":            {files: map[string]string{"home/.m2/settings.xml": settings(all, "<servers><server><id>m</id><configuration><httpHeaders><property><name>Private-Token</name><value>tok</value></property></httpHeaders></configuration></server></servers>")}, auth: "tok"},
		"nothing":             {want: "no Maven registry is configured"},
		"broken settings":     {files: map[string]string{"home/.m2/settings.xml": "<settings><mirrors>"}, own: "BASE/m"},
		"no such version":     {own: "BASE/m", version: "1.1", want: "the registry has no org.example:demo 1.1; the newest is 1.0"},
		"latest":              {own: "BASE/m", version: "LATEST", want: "it means the version 1.0 now"},
		"no such artifact":    {own: "BASE/m", name: "org.example:none", want: "404"},
		"a snapshot":          {own: "BASE/m", version: "1.0-SNAPSHOT", want: "content can change"},
		"no group":            {own: "BASE/m", name: "demo", want: "GROUP:ARTIFACT"},
		"a climbing file":     {own: "BASE/m", file: "../../x", want: "not the name of a file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, server.URL, c.files)
			for k, v := range c.env {
				c.env[k] = strings.Replace(v, "DIR", dir, 1)
			}
			client := &Client{Home: filepath.Join(dir, "home"), System: filepath.Join(dir, "system"), Getenv: environment(c.env)}
			if c.own != "" {
				makeJar(t, filepath.Join(dir, "own", "lib", "maven-model-builder-3.x.jar"), strings.Replace(c.own, "BASE", server.URL, 1))
				client.Run = runs("\x1b[1mApache Maven 3.9\x1b[m\nMaven home: " + filepath.Join(dir, "own") + "\nJava version: 21\n")
			}
			want = c.auth
			o := Origin{Kind: Maven, Name: first(c.name, "org.example:demo"), Version: first(c.version, "1.0")}
			if c.file != "" {
				o.Flags = kind.Fields{"file": c.file}
			}
			_, err := fetcher(Options{Client: client, Retries: -1}).Fetch(t.Context(), &Request{Origins: []Origin{o}, Dir: t.TempDir(), Unpack: "file"})
			if c.want == "" && err != nil {
				t.Error(err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "COQL")) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	// Another user's request has no credentials.
	m := &MavenConfig{Mirrors: []MavenPlace{{"m", "https://u:p@example.org/m", "*"}}, Servers: []MavenServer{{ID: "m", User: "me", Password: "secret"}}}
	if got := m.anonymous().(*MavenConfig); len(got.Servers) != 0 || got.Mirrors[0].URL != "https://example.org/m" || got.Mirrors[0].Of != "*" {
		t.Errorf("got %+v", got)
	}
	if code := protocol.CodeOf(fetchOrigin(t, &Client{}, Origin{Kind: Maven, Name: "a:b", Version: "1"})); code != protocol.Unavailable {
		t.Errorf("got %v", code)
	}
}
