package source

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/MordragT/nuka/protocol"
)

// TestAnswers checks that a registry passes if it reports a missing package, in any of the ways of its kind.
func TestAnswers(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/index/config.json" {
			w.Write([]byte(`{"dl":"http://127.0.0.1:1/never"}`))
			return
		}
		w.WriteHeader(status)
	}))
	defer server.Close()
	nobody := "http://127.0.0.1:1" // no server listens there
	client := func(kind OriginKind, base string) *Client {
		dir := t.TempDir()
		write := func(name, text string) {
			file := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if base != "" {
			switch kind {
			case NPM:
				write(".npmrc", "registry="+base+"/npm/\n")
			case PyPI:
				write(".config/pip/pip.conf", "[global]\nindex-url = "+base+"/simple/\n")
			case Crate:
				write(".cargo/config.toml", "[source.crates-io]\nreplace-with = \"own\"\n[source.own]\nregistry = \"sparse+"+base+"/index/\"\n")
			case Go:
				write(".config/go/env", "GOPROXY="+base+"/go\n")
			case Deb:
				write("etc/apt/sources.list", "deb "+base+"/debian stable main\n")
			}
		}
		return &Client{Home: dir, System: dir}
	}
	for _, kind := range []OriginKind{NPM, PyPI, Crate, Go, Deb} {
		ask := func(base string) error {
			return New(&Options{Client: client(kind, base), Retries: -1}).Answers(t.Context(), kind)
		}
		if err := ask(""); !errors.Is(err, ErrNoRegistry) || protocol.CodeOf(err) != protocol.Unavailable || protocol.AsError(err).Hint == "" {
			t.Errorf("%s: nothing is configured: got %v", kind, err)
		}
		if err := ask(nobody); err == nil || errors.Is(err, ErrNoRegistry) || protocol.CodeOf(err) == protocol.NotFound {
			t.Errorf("%s: nobody listens: got %v", kind, err)
		}
		for answer, good := range map[int]bool{
			http.StatusNotFound: kind != Deb, http.StatusGone: kind != Deb, http.StatusOK: kind == Deb,
			http.StatusUnauthorized: false, http.StatusForbidden: false, http.StatusInternalServerError: false, http.StatusTooManyRequests: false,
		} {
			if status = answer; answer == http.StatusOK && !good {
				continue
			}
			if err := ask(server.URL); (err == nil) != good {
				t.Errorf("%s: status %d: got %v, want that it answers: %v", kind, answer, err, good)
			}
		}
	}
}
