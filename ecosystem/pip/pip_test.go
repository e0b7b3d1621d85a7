package pip

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/ecotest"
)

// files are those of the registry of the tests, by their names.
var files = map[string][]byte{
	"six_pack-1.0-py3-none-any.whl":          bytes.Repeat([]byte("wheel of six-pack 1.0\n"), 10_000),
	"six_pack-1.0-py3-none-any.whl.metadata": []byte("Metadata-Version: 2.1\nName: six-pack\nVersion: 1.0\n"),
	"six-pack-1.0.tar.gz":                    []byte("source of six-pack 1.0"),
	"six_pack-2.0-py3-none-any.whl":          []byte("wheel of six-pack 2.0"),
	"other-0.5.tar.gz":                       []byte("source of other"),
}

func digest(name string) string { return fmt.Sprintf("%x", sha256.Sum256(files[name])) }

// uploadedAt returns the time of a file, which is young for version 2.0.
func uploadedAt(name string) time.Time {
	if strings.Contains(name, "-2.0-") {
		return ecotest.Now.Add(-24 * time.Hour)
	}
	return ecotest.Now.Add(-100 * 24 * time.Hour)
}

func jsonIndex(server, project string, names ...string) string {
	var list []string
	for _, name := range names {
		core := ""
		if files[name+".metadata"] != nil {
			core = fmt.Sprintf(`,"core-metadata":{"sha256":"%s"},"dist-info-metadata":{"sha256":"%[1]s"}`, digest(name+".metadata"))
		}
		yanked := "false"
		if strings.Contains(name, "-1.0") {
			yanked = `"broken  build"`
		}
		list = append(list, fmt.Sprintf(`{"filename":%q,"url":"%s/packages/%s","hashes":{"sha256":%q},"requires-python":">=3.8","size":%d,"upload-time":%q,"yanked":%s,`+
			`"provenance":"%s/integrity/%s"%s}`, name, server, name, digest(name), len(files[name]), uploadedAt(name).Format(time.RFC3339Nano), yanked, server, name, core))
	}
	return fmt.Sprintf(`{"meta":{"_last-serial":7,"api-version":"1.4"},"name":%q,"versions":["1.0","2.0","0.5"],"files":[%s]}`, project, strings.Join(list, ","))
}

func htmlIndex(project string, names ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<!DOCTYPE html><html><body><h1>Links for %s</h1>\n", project)
	for _, name := range names {
		yanked := ""
		if strings.Contains(name, "-1.0") {
			yanked = ` data-yanked="broken build"`
		}
		fmt.Fprintf(&b, "<a href=\"../../packages/%s#sha256=%s\" data-requires-python=\"&gt;=3.8\"%s>%s</a><br/>\n", name, digest(name), yanked, name)
	}
	return b.String() + "</body></html>"
}

func registry(onlyHTML bool) func(string) http.Handler {
	projects := map[string][]string{
		"six-pack": {"six_pack-1.0-py3-none-any.whl", "six-pack-1.0.tar.gz", "six_pack-2.0-py3-none-any.whl"},
		"other":    {"other-0.5.tar.gz"},
	}
	return func(server string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			project, isIndex := strings.CutPrefix(r.URL.Path, "/simple/")
			project = strings.TrimSuffix(project, "/")
			names := projects[project]
			file := files[strings.TrimPrefix(r.URL.Path, "/packages/")]
			switch {
			case isIndex && names != nil && strings.Contains(r.Header.Get("Accept"), jsonType) && !onlyHTML:
				w.Header().Set("Content-Type", jsonType)
				fmt.Fprint(w, jsonIndex(server, project, names...))
			case isIndex && names != nil:
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				fmt.Fprint(w, htmlIndex(project, names...))
			case file != nil:
				w.Header().Set("Content-Type", "application/x-any")
				w.Header().Set("Content-Length", fmt.Sprint(len(file)))
				_, _ = w.Write(file)
			default:
				http.NotFound(w, r)
			}
		})
	}
}

func fixture() *ecotest.Fixture {
	return &ecotest.Fixture{
		Adapter: Adapter{}, Alias: "pypi", Root: "/simple", Handler: registry(false),
		Package: "six-pack", Old: "1.0", Young: "2.0",
		Index: "/simple/six-pack/", OtherIndex: "/simple/other/", Accept: jsonType + ", " + htmlType + "; q=0.1, text/html; q=0.01",
		OldFile: "/packages/six_pack-1.0-py3-none-any.whl", YoungFile: "/packages/six_pack-2.0-py3-none-any.whl", OtherFile: "/packages/other-0.5.tar.gz",
		Notice: "yanked: broken build", More: []string{"/packages/six_pack-1.0-py3-none-any.whl.metadata"},
	}
}

func TestConformance(t *testing.T) {
	t.Run("JSON", func(t *testing.T) { ecotest.Run(t, fixture()) })
	t.Run("HTML", func(t *testing.T) { // the client wants HTML; the registry has JSON, too, for the dates
		f := fixture()
		f.Accept = "text/html"
		ecotest.Run(t, f)
	})
	t.Run("only HTML", func(t *testing.T) {
		f := fixture()
		f.Handler, f.Undated = registry(true), true
		ecotest.Run(t, f)
	})
}

var _ ecosystem.Dater = Adapter{}
