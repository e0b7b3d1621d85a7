package npm

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/ecotest"
)

// tarballs are the files of a registry. The bytes need not be archives: no client unpacks them here.
var tarballs = map[string][]byte{
	"/npm/@s/demo/-/demo-1.0.0.tgz": bytes.Repeat([]byte("demo one "), 20_000), "/npm/@s/demo/-/demo-2.0.0.tgz": []byte("demo two"), "/npm/other/-/other-1.0.0.tgz": []byte("other"),
}

func demoRegistry(server string) http.Handler {
	record := func(name, dates string, versions ...string) string {
		all := map[string]any{}
		for _, v := range versions {
			at := "/npm/" + name + "/-/" + name[strings.Index(name, "/")+1:] + "-" + v + ".tgz"
			strong, weak := sha512.Sum512(tarballs[at]), sha1.Sum(tarballs[at])
			deprecated := any(false) // as some registries write it
			if v == "1.0.0" && name == "@s/demo" {
				deprecated = "use two"
			}
			all[v] = map[string]any{"deprecated": deprecated, "name": name, "version": v, "license": "MIT", "readme": "long", "dist": map[string]any{
				"tarball": server + at, "integrity": "sha512-" + base64.StdEncoding.EncodeToString(strong[:]), "shasum": fmt.Sprintf("%x", weak)}}
		}
		text, err := json.Marshal(all)
		if err != nil {
			panic(err)
		}
		return `{"name":"` + name + `","dist-tags":{"latest":"` + versions[len(versions)-1] + `"},"versions":` + string(text) + `,"time":` + dates + `}`
	}
	pages := map[string]string{
		"/npm/@s/demo": record("@s/demo", `{"created":"2020-01-01T00:00:00.000Z","1.0.0":"2020-01-01T00:00:00.000Z","2.0.0":"2026-06-14T12:00:00.000Z"}`, "1.0.0", "2.0.0"),
		"/npm/other":   record("other", `{"1.0.0":"2020-01-01T00:00:00.000Z"}`, "1.0.0"),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Path]
		file, isFile := tarballs[r.URL.Path]
		switch {
		case ok:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(page))
		case isFile:
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write(file)
		default:
			http.NotFound(w, r)
		}
	})
}

func TestConformance(t *testing.T) {
	ecotest.Run(t, &ecotest.Fixture{
		Adapter: Adapter{}, Alias: "npm", Root: "/npm", Handler: demoRegistry, Package: "@s/demo", Notice: "deprecated: use two", Old: "1.0.0", Young: "2.0.0",
		Index: "/npm/@s/demo", OtherIndex: "/npm/other", Accept: "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*",
		OldFile: "/npm/@s/demo/-/demo-1.0.0.tgz", YoungFile: "/npm/@s/demo/-/demo-2.0.0.tgz", OtherFile: "/npm/other/-/other-1.0.0.tgz",
	})
}

var (
	_ ecosystem.Dater  = Adapter{}
	_ ecosystem.Locker = Adapter{}
	_ ecosystem.Namer  = Adapter{}
)
