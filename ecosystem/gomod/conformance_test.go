package gomod

import (
	"archive/zip"
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"

	"golang.org/x/mod/sumdb/dirhash"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/ecotest"
)

// archive returns the zip of a module, and the hash of it.
func archive(prefix string, size int) (text []byte, h1 string) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	noise := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	names := []string{prefix + "/go.mod", prefix + "/data"}
	content := map[string][]byte{names[0]: []byte("module x\n"), names[1]: noise}
	for _, name := range names {
		w, err := z.Create(name)
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(content[name])
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	h1, err := dirhash.Hash1(names, func(name string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content[name])), nil })
	if err != nil {
		panic(err)
	}
	return b.Bytes(), h1
}

// modHash is the hash of the go.mod file of the demo.
const modHash = "pcdNOvNCUNElB4rMgClM9g9E8QPQ+aXuYgkQSNy9IE0="

func TestConformance(t *testing.T) {
	old, h1 := archive("example.org/Demo@v1.0.0", 200_000)
	young, _ := archive("example.org/Demo@v2.0.0", 10)
	other, _ := archive("example.org/other@v1.0.0", 10)
	info := func(v, date string) string { return `{"Version":"` + v + `","Time":"` + date + `"}` }
	const demo = "/proxy/example.org/!demo/@v/"
	pages := map[string]string{
		demo + "list": "v1.0.0\nv1.1.0\n", demo + "v1.0.0.info": info("v1.0.0", "2020-01-01T00:00:00Z"), demo + "v1.1.0.info": info("v1.1.0", "2026-06-14T12:00:00Z"),
		demo + "v1.0.0.mod": "module example.org/Demo\n", demo + "v1.1.0.mod": "module example.org/Demo\n\nretract [v0.9.0, v1.0.0] // it loses data\n", demo + "v1.0.0.zip": string(old), demo + "v1.1.0.zip": string(young),
		"/proxy/example.org/other/@v/list": "v1.0.0\n", "/proxy/example.org/other/@v/v1.0.0.info": info("v1.0.0", "2020-01-01T00:00:00Z"), "/proxy/example.org/other/@v/v1.0.0.zip": string(other),
	}
	ecotest.Run(t, &ecotest.Fixture{
		Adapter: Adapter{}, Alias: "go", Root: "/proxy", Package: "example.org/Demo", Notice: "retracted: it loses data", Old: "v1.0.0", Young: "v1.1.0",
		Handler: func(string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if page, ok := pages[r.URL.Path]; ok {
					_, _ = w.Write([]byte(page))
					return
				}
				http.NotFound(w, r)
			})
		},
		Locked: func(string) []ecosystem.File {
			files, err := Adapter{}.Locked("go.sum", []byte("example.org/Demo v1.0.0 "+h1+"\nexample.org/Demo v1.0.0/go.mod h1:"+modHash+"\n"), nil)
			if err != nil {
				t.Error(err)
			}
			return files
		},
		Index: demo + "list", OtherIndex: "/proxy/example.org/other/@v/list", More: []string{demo + "v1.0.0.info", demo + "v1.0.0.mod"},
		OldFile: demo + "v1.0.0.zip", YoungFile: demo + "v1.1.0.zip", OtherFile: "/proxy/example.org/other/@v/v1.0.0.zip", Anonymous: true,
	})
}

var (
	_ ecosystem.Dater  = Adapter{}
	_ ecosystem.Locker = Adapter{}
)
