package nu

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/MordragT/nuka/pir"
)

// FuzzLoad loads arbitrary names and checks that only files of the mount are read.
func FuzzLoad(f *testing.F) {
	top := f.TempDir()
	for name, text := range map[string]string{"set/a.nu": "ok", "set/lib/b.nu": "ok", "secret.nu": "secret", "set.nu": "secret"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(top, name)), 0o755); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, name), []byte(text), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	if err := os.Symlink("../..", filepath.Join(top, "set/lib/up")); err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"b.nu", "../a.nu", "../../secret.nu", "up/secret.nu", "up/set/a.nu", "/secret.nu", ".", "", "..", "b.nu/../b.nu", "./up/../up/secret.nu"} {
		f.Add("/set/lib/c.nu", name)
	}
	f.Fuzz(func(t *testing.T, from, name string) {
		set, err := newFileSet([]Mount{{Path: "/set", FS: os.DirFS(filepath.Join(top, "set")), Library: true}})
		if err != nil {
			t.Fatal(err)
		}
		l, err := set.load(from, name)
		if err == nil && (l.Text != "ok" || !strings.HasPrefix(l.Path, "/set/")) {
			t.Errorf("load(%q, %q) gave %+v", from, name, l)
		}
	})
}

// FuzzDerivation passes specs to the host that the embedded Nushell would never send.
func FuzzDerivation(f *testing.F) {
	for _, spec := range []string{
		`{"build":{"nu":"{|b| 1}"},"name":"a","version":"1"}`, `{"data":[1],"name":"a"}`, `{"name":"a","packages":{"b":"x"}}`,
		`{"build":1}`, `{"env":{"A":[]},"build":{"nu":""},"name":"a"}`, `{"run":{"commands":1},"data":1,"name":"x"}`, `{}`,
	} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		set, err := newFileSet(nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &session{req: &Request{}, files: set, reader: newPathReader(nil), index: map[pir.PID]int{}}
		q := &hostRequest{Op: "derivation", Arg: mustJSON(t, map[string]string{"spec": spec})}
		if _, err := s.do(t.Context(), q); err != nil {
			return
		}
		for _, p := range s.packages {
			if _, err := pir.Decode(p.Canonical); err != nil {
				t.Errorf("%s: %v", p.Canonical, err)
			}
		}
	})
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
