package npm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/attest"
	"github.com/MordragT/nuka/ecosystem/attest/attesttest"
	"github.com/MordragT/nuka/pir"
)

// A signer is the key of a registry.
type signer struct {
	private *ecdsa.PrivateKey
	name    string
}

func newSigner(t *testing.T, curve elliptic.Curve) *signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{k, "SHA256:test"}
}

func (s *signer) listed(t *testing.T, expires string) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&s.private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"keys":[{"expires":%s,"keyid":%q,"keytype":"ecdsa-sha2-nistp256","scheme":"ecdsa-sha2-nistp256","key":%q}]}`, expires, s.name, base64.StdEncoding.EncodeToString(der))
}

func (s *signer) sign(t *testing.T, text string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(text))
	sig, err := ecdsa.SignASN1(rand.Reader, s.private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(sig)
}

const tarball = "not an archive, but bytes"

func integrity(text string) string {
	sum := sha512.Sum512([]byte(text))
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// A world is a registry with one package, demo 1.0.0, and what a session with it records.
type world struct {
	keys, signed string // "" keys: there are none
	integrity    string
	locked       bool // the client asks for no index
	files        ecosystem.Files
	attested     []byte // by the publisher; nil: the record names none
	roots        *attest.Roots
}

// checking is an Adapter that trusts the authority of a test.
type checking struct {
	Adapter
	roots *attest.Roots
}

func (c checking) Check(f *ecosystem.File, ask func(ecosystem.Request) []byte) (string, error) {
	return c.verified(f, ask, c.roots)
}

// record returns what the recording says of the file, the problems, and the paths that the registry was asked for.
func (w *world) record(t *testing.T) (kept *ecosystem.Kept, problems string, asked []string) {
	t.Helper()
	var mu sync.Mutex // of asked
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.Path)
		mu.Unlock()
		more := ""
		if w.attested != nil {
			more = `,"attestations":{"url":"https://registry.example.org/-/npm/v1/attestations/demo@1.0.0","provenance":{"predicateType":"https://slsa.dev/provenance/v1"}}`
		}
		one := fmt.Sprintf(`{"name":"demo","version":"1.0.0","dist":{"tarball":"%s/demo/-/demo-1.0.0.tgz","integrity":%q,"signatures":%s%s}}`, server.URL, w.integrity, w.signed, more)
		switch r.URL.Path {
		case "/-/npm/v1/attestations/demo@1.0.0":
			_, _ = out.Write(w.attested)
		case "/demo":
			fmt.Fprintf(out, `{"name":"demo","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":%s},"time":{"1.0.0":"2024-01-01T00:00:00Z"}}`, one)
		case "/demo/1.0.0":
			fmt.Fprint(out, one)
		case "/demo/-/demo-1.0.0.tgz":
			fmt.Fprint(out, tarball)
		case Keys:
			if w.keys == "" {
				http.NotFound(out, r)
				return
			}
			fmt.Fprint(out, w.keys)
		default:
			http.NotFound(out, r)
		}
	}))
	defer server.Close()
	if w.files == nil {
		var err error
		if w.files, err = ecosystem.NewFolder(t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	o := &ecosystem.Options{Adapter: checking{roots: w.roots}, Files: w.files, Upstreams: []ecosystem.Upstream{{Alias: "npm", Kind: Kind, URL: server.URL}}}
	if w.locked {
		hash, _, err := promise(w.integrity, "")
		if err != nil {
			t.Fatal(err)
		}
		o.Locked = []ecosystem.File{{Request: ecosystem.Request{Alias: "npm", Path: "/demo/-/demo-1.0.0.tgz"}, Package: "demo", Version: "1.0.0", Name: "demo-1.0.0.tgz", Promised: hash}}
	}
	rec, err := ecosystem.NewRecorder(o)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) {
		rec.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
	}
	if !w.locked {
		get("/npm/demo")
	}
	get("/npm/demo/-/demo-1.0.0.tgz")
	r, err := rec.Recording()
	if err != nil {
		t.Fatal(err)
	}
	text, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), Keys) {
		t.Error("the keys are in the recording, which no replay needs")
	}
	for _, k := range r.Files() {
		if k.Package == "demo" {
			kept = k
		}
	}
	return kept, strings.Join(rec.Problems(), "\n"), asked
}

// Only a signature that was verified is recorded. A wrong one is an error, and nothing of the file is kept.
func TestSignature(t *testing.T) {
	s, other, large := newSigner(t, elliptic.P256()), newSigner(t, elliptic.P256()), newSigner(t, elliptic.P384())
	good := integrity(tarball)
	text := "demo@1.0.0:" + good
	list := func(keyid, sig string) string { return fmt.Sprintf(`[{"keyid":%q,"sig":%q}]`, keyid, sig) }
	right := list(s.name, s.sign(t, text))
	const never = "null"
	for name, c := range map[string]struct {
		world
		want    string // Checked
		problem string // and no file
	}{
		"right":                 {world{keys: s.listed(t, never), signed: right}, Signed + s.name, ""},
		"right, with lock file": {world{keys: s.listed(t, never), signed: right, locked: true}, Signed + s.name, ""},
		"no keys":               {world{signed: right}, "", ""},
		"no signature":          {world{keys: s.listed(t, never), signed: "[]"}, "", ""},
		"another key's name":    {world{keys: s.listed(t, never), signed: list("SHA256:other", s.sign(t, text))}, "", ""},
		"of another version":    {world{keys: s.listed(t, never), signed: list(s.name, s.sign(t, "demo@1.0.1:"+good))}, "", "signature"},
		"of other bytes":        {world{keys: s.listed(t, never), signed: list(s.name, s.sign(t, "demo@1.0.0:"+integrity("x")))}, "", "signature"},
		"by another key":        {world{keys: s.listed(t, never), signed: list(s.name, other.sign(t, text))}, "", "signature"},
		"the same, with lock":   {world{keys: s.listed(t, never), signed: list(s.name, other.sign(t, text)), locked: true}, "", "signature"},
		"cut":                   {world{keys: s.listed(t, never), signed: list(s.name, "AAAA")}, "", "signature"},
		"another curve":         {world{keys: large.listed(t, never), signed: list(s.name, large.sign(t, text))}, "", "P-256"},
		"expired before":        {world{keys: s.listed(t, `"2023-01-01T00:00:00Z"`), signed: right}, "", ""},
		"expired after":         {world{keys: s.listed(t, `"2025-01-01T00:00:00Z"`), signed: right}, Signed + s.name, ""},
		"keys are a page":       {world{keys: "<html>", signed: right}, "", ""},
		"many signatures":       {world{keys: s.listed(t, never), signed: "[" + strings.Repeat(right[1:len(right)-1]+",", maxSignatures) + right[1:]}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.integrity = good
			kept, problems, asked := c.record(t)
			if c.problem != "" {
				if kept != nil || !strings.Contains(problems, c.problem) {
					t.Errorf("got %+v, problems %q, want none and %q", kept, problems, c.problem)
				}
				return
			}
			if kept == nil || kept.Checked != c.want || problems != "" {
				t.Errorf("got %+v, problems %q, asked %q; want checked %q", kept, problems, asked, c.want)
			}
			if again, _, _ := c.record(t); again == nil || again.Checked != c.want { // the store has the file
				t.Errorf("second time: got %+v, want checked %q", again, c.want)
			}
		})
	}
}

// TestAttestations records a file with attestations of its publisher. What was verified is kept beside the signature of the registry; a file with a wrong one is refused.
func TestAttestations(t *testing.T) {
	const name = "https://code.example.org/one/demo/workflows/release.yml@refs/tags/v1"
	s, m := newSigner(t, elliptic.P256()), attesttest.New(t)
	good := integrity(tarball)
	digest, other := sha512.Sum512([]byte(tarball)), sha512.Sum512([]byte("other"))
	file, another := pir.NewHash(pir.SHA512, digest[:]), pir.NewHash(pir.SHA512, other[:])
	signed, keys := fmt.Sprintf(`[{"keyid":%q,"sig":%q}]`, s.name, s.sign(t, "demo@1.0.0:"+good)), s.listed(t, "null")
	right := attesttest.Bundles(m.Attest(file, name))
	both := Signed + s.name + " " + attest.Checked + name
	for title, c := range map[string]struct {
		world
		want, problem string
	}{
		"right":           {world{signed: signed, attested: right, roots: m.Roots()}, both, ""},
		"with lock file":  {world{signed: signed, attested: right, roots: m.Roots(), locked: true}, both, ""},
		"no signature":    {world{signed: "[]", attested: right, roots: m.Roots()}, attest.Checked + name, ""},
		"not named":       {world{signed: signed, roots: m.Roots()}, Signed + s.name, ""},
		"unknown":         {world{signed: signed, attested: right, roots: &attest.Roots{}}, Signed + s.name, ""},
		"no JSON":         {world{signed: signed, attested: []byte("<html>"), roots: m.Roots()}, Signed + s.name, ""},
		"the registry's":  {world{signed: signed, attested: attesttest.Bundles(), roots: m.Roots()}, Signed + s.name, ""},
		"another file":    {world{signed: signed, attested: attesttest.Bundles(m.Attest(another, name)), roots: m.Roots()}, "", "about another file"},
		"the same, lock":  {world{signed: signed, attested: attesttest.Bundles(m.Attest(another, name)), roots: m.Roots(), locked: true}, "", "about another file"},
		"another log":     {world{signed: signed, attested: right, roots: attesttest.New(t).Roots()}, "", "promise of its log"}, // of the same name, with another key
		"wrong signature": {world{signed: strings.Replace(signed, `"sig":"`, `"sig":"AAAA`, 1), attested: right, roots: m.Roots()}, "", "signature"},
	} {
		t.Run(title, func(t *testing.T) {
			c.integrity, c.keys = good, keys
			kept, problems, asked := c.record(t)
			if c.problem != "" {
				if kept != nil || !strings.Contains(problems, c.problem) {
					t.Errorf("got %+v, problems %q, want none and %q", kept, problems, c.problem)
				}
				return
			}
			if kept == nil || kept.Checked != c.want || problems != "" {
				t.Errorf("got %+v, problems %q, asked %q; want checked %q", kept, problems, asked, c.want)
			}
		})
	}
}

// The keys of a registry are asked for once in a session, and a record that promises other bytes than were compared says nothing.
func TestCheck(t *testing.T) {
	s := newSigner(t, elliptic.P256())
	hash, _, err := promise(integrity(tarball), "")
	if err != nil {
		t.Fatal(err)
	}
	f := &ecosystem.File{Request: ecosystem.Request{Alias: "npm", Path: "/x"}, Package: "@s/demo", Version: "1.0.0", Promised: hash, Released: time.Now()}
	for _, promised := range []string{integrity(tarball), integrity("other")} {
		got, err := Adapter{}.Check(f, func(r ecosystem.Request) []byte {
			switch r.Path {
			case Keys:
				return []byte(s.listed(t, "null"))
			case "/@s%2Fdemo/1.0.0":
				return fmt.Appendf(nil, `{"name":"@s/demo","version":"1.0.0","dist":{"tarball":"/a.tgz","integrity":%q,"signatures":[{"keyid":%q,"sig":%q}]}}`,
					promised, s.name, s.sign(t, "@s/demo@1.0.0:"+promised))
			}
			return nil
		})
		if want := promised == integrity(tarball); err != nil || (got == Signed+s.name) != want {
			t.Errorf("%.20s: got %q, %v", promised, got, err)
		}
	}
}
