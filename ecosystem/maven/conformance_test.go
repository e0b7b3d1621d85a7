package maven

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"net/http"
	"testing"

	"github.com/MordragT/nuka/ecosystem/ecotest"
)

func TestConformance(t *testing.T) {
	const demo, other = "/maven2/org/example/demo/", "/maven2/org/example/other/"
	pages := map[string]string{
		demo + "maven-metadata.xml": document("2.0", "2.0", "1.0", "2.0"),
		demo + "1.0/demo-1.0.pom":   "<project/>", demo + "1.0/demo-1.0.jar": string(bytes.Repeat([]byte("demo one "), 20_000)),
		demo + "2.0/demo-2.0.pom": "<project/>", demo + "2.0/demo-2.0.jar": "demo two",
		other + "maven-metadata.xml": "<metadata><groupId>org.example</groupId><artifactId>other</artifactId><versioning><versions><version>1</version></versions></versioning></metadata>",
		other + "1/other-1.pom":      "<project/>", other + "1/other-1.jar": "other",
	}
	dates := map[string]string{demo + "2.0/demo-2.0.pom": "Sun, 14 Jun 2026 12:00:00 GMT"}
	for path, page := range pages {
		pages[path+".sha1"] = fmt.Sprintf("%x", sha1.Sum([]byte(page)))
	}
	f := &ecotest.Fixture{
		Adapter: Adapter{}, Alias: "maven", Root: "/maven2", Package: "org.example:demo", Old: "1.0", Young: "2.0",
		Handler: func(string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				page, ok := pages[r.URL.Path]
				if !ok {
					http.NotFound(w, r)
					return
				}
				if dates != nil {
					w.Header().Set("Last-Modified", "Wed, 01 Jan 2020 00:00:00 GMT")
					if date := dates[r.URL.Path]; date != "" {
						w.Header().Set("Last-Modified", date)
					}
				}
				_, _ = w.Write([]byte(page))
			})
		},
		Index: demo + "maven-metadata.xml", OtherIndex: other + "maven-metadata.xml", More: []string{demo + "1.0/demo-1.0.pom"},
		OldFile: demo + "1.0/demo-1.0.jar", YoungFile: demo + "2.0/demo-2.0.jar", OtherFile: other + "1/other-1.jar",
	}
	t.Run("dated", func(t *testing.T) { ecotest.Run(t, f) })
	dates = nil
	f.Undated = true
	t.Run("undated", func(t *testing.T) { ecotest.Run(t, f) })
}
