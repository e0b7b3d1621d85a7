package ecosystem_test

import (
	"crypto/sha1"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/maven"
	"github.com/MordragT/nuka/ecosystem/npm"
	"github.com/MordragT/nuka/ecosystem/pip"
)

// TestRemembered records one file of a registry that promises SHA-1 twice with one store. The second recording downloads nothing; but a file of another address with the
// same SHA-1, and one whose SHA-1 changed, are downloaded.
func TestRemembered(t *testing.T) {
	content, downloads := "a jar", atomic.Int32{}
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".sha1") {
			fmt.Fprintf(w, "%x", sha1.Sum([]byte(content)))
			return
		}
		downloads.Add(1)
		fmt.Fprint(w, content)
	})
	files, err := ecosystem.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const one, two = "/org/example/one/1.0/one-1.0.jar", "/org/example/two/1.0/two-1.0.jar"
	file := filepath.Join(t.TempDir(), ecosystem.MemoryFile)
	for _, step := range []struct {
		path, content string
		memory        *ecosystem.Memory
		want          int32
	}{
		{one, "a jar", ecosystem.NewMemory(file), 1},
		{one, "a jar", ecosystem.NewMemory(file), 1}, // remembered
		{two, "a jar", ecosystem.NewMemory(file), 2}, // of another address
		{one, "changed", ecosystem.NewMemory(file), 3},
		{one, "changed", nil, 4},
		{one, "a jar", ecosystem.NewMemory(file), 4}, // as at first
	} {
		content = step.content
		rec, err := ecosystem.NewRecorder(&ecosystem.Options{
			Adapter: maven.Adapter{}, Upstreams: []ecosystem.Upstream{upstream("maven", s.URL)}, Files: files, Memory: step.memory,
		})
		if err != nil {
			t.Fatal(err)
		}
		if w := ask(rec, "/maven"+step.path); w.Code != 200 || w.Body.String() != step.content {
			t.Fatalf("%+v: got %d %q", step, w.Code, w.Body)
		}
		if got := downloads.Load(); got != step.want {
			t.Errorf("%s with %q: got %d downloads, want %d", step.path, step.content, got, step.want)
		}
		recording, err := rec.Recording()
		if err != nil {
			t.Fatal(err)
		}
		if list := recording.Files(); len(list) != 1 || list[0].Weak == "" || list[0].Package == "" {
			t.Errorf("the recording has %+v, want the file with its name and SHA-1", list)
		}
	}
}

// TestRememberedWrongly has a memory, which is a file that anybody may have changed, that leads to another file of the store.
func TestRememberedWrongly(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		content := path.Base(strings.TrimSuffix(r.URL.Path, ".sha1"))
		if strings.HasSuffix(r.URL.Path, ".sha1") {
			content = fmt.Sprintf("%x", sha1.Sum([]byte(content)))
		}
		fmt.Fprint(w, content)
	})
	files, err := ecosystem.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), ecosystem.MemoryFile)
	record := func(name string) string {
		rec, err := ecosystem.NewRecorder(&ecosystem.Options{
			Adapter: maven.Adapter{}, Upstreams: []ecosystem.Upstream{upstream("maven", s.URL)}, Files: files, Memory: ecosystem.NewMemory(file),
		})
		if err != nil {
			t.Fatal(err)
		}
		return ask(rec, "/maven/org/example/"+name+"/1.0/"+name+"-1.0.jar").Body.String()
	}
	record("one")
	record("two")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Fields(string(text))
	if err := os.WriteFile(file, []byte(line[0]+" "+line[3]+"\n"+line[2]+" "+line[1]+"\nno line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		if got := record(name); got != name+"-1.0.jar" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// TestNoStore checks that npm is told not to keep files in its cache, by a recorder and by a replayer, while a file passes and out of the store; and pip is not.
func TestNoStore(t *testing.T) {
	content := strings.Repeat("0123456789", 20_000) // more than is held back
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		fmt.Fprint(w, content)
	})
	for _, c := range []struct {
		adapter ecosystem.Adapter
		path    string
		want    string
	}{{npm.Adapter{}, "/one/a/-/a-1.0.0.tgz", "no-store"}, {pip.Adapter{}, "/one/six-1.0.tar.gz", ""}} {
		rec, files := recorder(t, &ecosystem.Options{Adapter: c.adapter, Upstreams: []ecosystem.Upstream{upstream("one", s.URL)}})
		for _, when := range []string{"first", "again"} {
			if w := ask(rec, c.path); w.Code != 200 || w.Body.String() != content || w.Header().Get("Cache-Control") != c.want {
				t.Errorf("%s %s: got %d, %d bytes, Cache-Control %q; want %q", c.path, when, w.Code, w.Body.Len(), w.Header().Get("Cache-Control"), c.want)
			}
		}
		recording, err := rec.Recording()
		if err != nil {
			t.Fatal(err)
		}
		replay, err := ecosystem.NewReplayer(recording, &ecosystem.ReplayOptions{Adapter: c.adapter, Open: files.Open})
		if err != nil {
			t.Fatal(err)
		}
		if w := ask(replay, c.path); w.Code != 200 || w.Header().Get("Cache-Control") != c.want {
			t.Errorf("%s in replay: got %d, Cache-Control %q; want %q", c.path, w.Code, w.Header().Get("Cache-Control"), c.want)
		}
	}
}
