package cargo

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/ecotest"
)

// crates are the files of a registry by name and version. The bytes need not be archives: no client unpacks them here.
var crates = map[string][]byte{
	"demo 1.0.0": bytes.Repeat([]byte("demo one "), 20_000), "demo 2.0.0": []byte("demo two"), "other 1.0.0": []byte("other"),
}

// demoRegistry has its files at dl, a template.
func demoRegistry(dl string, dated bool) func(string) http.Handler {
	return func(server string) http.Handler {
		line := func(name, v, date string) string {
			if date = `,"pubtime":"` + date + `"`; !dated {
				date = ""
			}
			return fmt.Sprintf(`{"name":%q,"vers":%q,"deps":[],"cksum":"%x","features":{},"yanked":%t%s}`+"\n", name, v, sha256.Sum256(crates[name+" "+v]), name+v == "demo1.0.0", date)
		}
		pages := map[string]string{
			"/index/config.json": `{"dl":"` + server + dl + `","api":"` + server + `"}`,
			"/index/de/mo/demo":  line("demo", "1.0.0", "2020-01-01T00:00:00Z") + line("demo", "2.0.0", "2026-06-14T12:00:00Z"),
			"/index/ot/he/other": line("other", "1.0.0", "2020-01-01T00:00:00Z"),
		}
		for crate, content := range crates {
			name, v, _ := strings.Cut(crate, " ")
			if strings.Contains(dl, "{") {
				pages[strings.NewReplacer("{crate}", name, "{version}", v).Replace(dl)] = string(content)
			} else {
				pages[dl+"/"+name+"/"+v+"/download"] = string(content)
			}
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if page, ok := pages[r.URL.Path]; ok {
				_, _ = w.Write([]byte(page))
				return
			}
			http.NotFound(w, r)
		})
	}
}

func TestConformance(t *testing.T) {
	f := &ecotest.Fixture{
		Adapter: Adapter{}, Alias: "crate", Root: "/index", Handler: demoRegistry("/files/crates", true), Package: "demo", Notice: "yanked", Old: "1.0.0", Young: "2.0.0",
		First: []string{"/index/config.json"}, Index: "/index/de/mo/demo", OtherIndex: "/index/ot/he/other",
		OldFile: "/files/crates/demo/1.0.0/download", YoungFile: "/files/crates/demo/2.0.0/download", OtherFile: "/files/crates/other/1.0.0/download",
	}
	t.Run("download", func(t *testing.T) { ecotest.Run(t, f) })
	t.Run("template", func(t *testing.T) {
		f := *f
		f.Handler = demoRegistry("/static/{crate}/{crate}-{version}.crate", true)
		f.OldFile, f.YoungFile, f.OtherFile = "/static/demo/demo-1.0.0.crate", "/static/demo/demo-2.0.0.crate", "/static/other/other-1.0.0.crate"
		ecotest.Run(t, &f)
	})
	t.Run("undated", func(t *testing.T) {
		f := *f
		f.Handler, f.Undated = demoRegistry("/files/crates", false), true
		ecotest.Run(t, &f)
	})
}

var _ ecosystem.Locker = Adapter{}
