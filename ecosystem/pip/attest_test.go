package pip

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/attest"
	"github.com/MordragT/nuka/ecosystem/attest/attesttest"
	"github.com/MordragT/nuka/pir"
)

// checking is an Adapter that trusts the authority of a test.
type checking struct {
	Adapter
	roots *attest.Roots
}

func (c checking) Check(f *ecosystem.File, ask func(ecosystem.Request) []byte) (string, error) {
	return attested(f, ask, c.roots)
}

// TestAttestations records a file whose index names attestations. What was verified is kept with the file; a file with a wrong attestation is refused.
func TestAttestations(t *testing.T) {
	const signer = "https://code.example.org/one/demo/workflows/release.yml@refs/tags/v1"
	content := []byte("a wheel")
	digest := sha256.Sum256(content)
	sum, file, another := fmt.Sprintf("%x", digest), pir.NewHash(pir.SHA256, digest[:]), pir.NewHash(pir.SHA256, make([]byte, 32))
	m := attesttest.New(t)
	for name, c := range map[string]struct {
		provenance []byte
		named      bool
		roots      *attest.Roots
		want       string
		status     int
	}{
		"right":         {attesttest.Provenance(m.Attest(file, signer)), true, m.Roots(), "attestation:" + signer, 200},
		"two":           {attesttest.Provenance(m.Attest(file, signer), m.Attest(file, signer)), true, m.Roots(), "attestation:" + signer, 200},
		"not named":     {attesttest.Provenance(m.Attest(file, signer)), false, m.Roots(), "", 200},
		"not trusted":   {attesttest.Provenance(m.Attest(file, signer)), true, attesttest.New(t).Roots(), "", 502}, // its log's name is the same, with another key
		"unknown":       {attesttest.Provenance(m.Attest(file, signer)), true, &attest.Roots{}, "", 200},
		"another file":  {attesttest.Provenance(m.Attest(another, signer)), true, m.Roots(), "", 502},
		"not there":     {nil, true, m.Roots(), "", 200},
		"of a new form": {[]byte(`{"version":2}`), true, m.Roots(), "", 200},
		"no JSON":       {[]byte("<html>"), true, m.Roots(), "", 200},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/simple/demo/":
					named := `"provenance":"http://` + r.Host + `/integrity/demo/1.0/demo-1.0-py3-none-any.whl/provenance"`
					if !c.named {
						named = `"provenance":null`
					}
					w.Header().Set("Content-Type", jsonType)
					fmt.Fprintf(w, `{"meta":{"api-version":"1.3"},"name":"demo","files":[{"filename":"demo-1.0-py3-none-any.whl","url":"http://%s/f/demo-1.0-py3-none-any.whl","hashes":{"sha256":%q},%s}]}`, r.Host, sum, named)
				case strings.HasPrefix(r.URL.Path, "/integrity/") && c.provenance != nil:
					_, _ = w.Write(c.provenance)
				case strings.HasPrefix(r.URL.Path, "/f/"):
					_, _ = w.Write(content)
				default:
					http.NotFound(w, r)
				}
			}))
			defer s.Close()
			files, err := ecosystem.NewFolder(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			rec, err := ecosystem.NewRecorder(&ecosystem.Options{Adapter: checking{Adapter{}, c.roots}, Upstreams: []ecosystem.Upstream{{Alias: "pypi", Kind: Kind, URL: s.URL}}, Files: files})
			if err != nil {
				t.Fatal(err)
			}
			ask(rec, "/pypi/simple/demo/")
			if w := ask(rec, "/pypi/f/demo-1.0-py3-none-any.whl"); w.Code != c.status {
				t.Fatalf("got %d %s, want %d", w.Code, w.Body, c.status)
			}
			recording, err := rec.Recording()
			if err != nil {
				t.Fatal(err)
			}
			text, err := recording.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if got := recording.Files(); c.status == 200 && (len(got) != 1 || got[0].Checked != c.want) || c.status != 200 && len(got) != 0 {
				t.Errorf("got %d files, %s", len(got), text)
			}
			if strings.Contains(string(text), "integrity/") {
				t.Errorf("the recording has attestations, which no client asked for: %s", text)
			}
		})
	}
}

func ask(h http.Handler, path string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", jsonType)
	h.ServeHTTP(w, r)
	return w
}
