package ecosystem_test

import (
	"crypto/sha1" //nolint:gosec // a weak hash
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/pir"
)

// lines is an adapter with all further abilities. Its index /NAME has a line for each version: VERSION, or VERSION NAMED-NAME NAMED-VERSION.
// Files are /NAME/VERSION.tgz, and /NAME/VERSION.tgz.sha1 has the hash of one. /db/… is a checksum database, and /binary is an index that is no text.
type lines struct{}

func (lines) Name() string            { return "lines" }
func (lines) Kinds() []string         { return []string{"lines"} }
func (lines) Doors() []ecosystem.Door { return []ecosystem.Door{ecosystem.DoorRegistry} }
func (lines) Setup(ecosystem.Door, string, []ecosystem.Upstream) ecosystem.Setup {
	return ecosystem.Setup{}
}
func (lines) Variant(string, string) (variant, ask string) { return "", "*/*" }

func (lines) Classify(r ecosystem.Request) ecosystem.Class {
	switch {
	case strings.HasSuffix(r.Path, ".tgz"):
		return ecosystem.Artefact
	case strings.HasSuffix(r.Path, ".sha1"), strings.HasPrefix(r.Path, "/db/"):
		return ecosystem.Text
	}
	return ecosystem.Index
}

func (lines) Describe(r ecosystem.Request) *ecosystem.File {
	name, version, _ := strings.Cut(strings.TrimPrefix(r.Path, "/"), "/")
	version, ok := strings.CutSuffix(version, ".tgz")
	if !ok {
		return nil
	}
	return &ecosystem.File{Request: r, Package: name, Version: version, Name: version + ".tgz"}
}

func (lines) Read(_ ecosystem.Request, _, _ string, body []byte, _ func(string) ecosystem.Request) ([]ecosystem.File, error) {
	if strings.HasPrefix(string(body), "<") {
		return nil, errors.New("a page")
	}
	return nil, nil
}

func (lines) Change(r ecosystem.Request, _, _ string, body []byte, _ func(string) ecosystem.Request, e *ecosystem.Edit) ([]byte, int, error) {
	var out []string
	dropped := 0
	for line := range strings.Lines(string(body)) {
		version, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if e.Keep == nil || e.Keep(&ecosystem.File{Package: strings.TrimPrefix(r.Path, "/"), Version: version}) {
			out = append(out, line)
		} else {
			dropped++
		}
	}
	return []byte(strings.Join(out, "")), dropped, nil
}

func (lines) Proof(r ecosystem.Request) (ecosystem.Request, func([]byte) (pir.Hash, string), bool) {
	r.Path += ".sha1"
	return r, func(b []byte) (pir.Hash, string) { return pir.Hash{}, "sha1:" + strings.TrimSpace(string(b)) }, strings.HasSuffix(r.Path, ".tgz.sha1")
}

func (lines) Named(r ecosystem.Request, _ string, body []byte, _ func(string) ecosystem.Request, keep func(*ecosystem.File) bool) ([]ecosystem.File, error) {
	var out []ecosystem.File
	for line := range strings.Lines(string(body)) {
		part := strings.Fields(line)
		if keep(&ecosystem.File{Package: strings.TrimPrefix(r.Path, "/"), Version: part[0]}) && len(part) == 3 {
			out = append(out, ecosystem.File{Package: part[1], Version: part[2]})
		}
	}
	return out, nil
}

func (lines) Checksums(r ecosystem.Request) bool { return strings.HasPrefix(r.Path, "/db/") }

var _ interface {
	ecosystem.Adapter
	ecosystem.Prover
	ecosystem.Namer
	ecosystem.Checksummer
} = lines{}

func TestAbilities(t *testing.T) {
	wrong := false
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch file, isProof := strings.CutSuffix(r.URL.Path, ".sha1"); {
		case isProof && wrong:
			fmt.Fprintf(w, "%x\n", sha1.Sum([]byte("other")))
		case isProof:
			fmt.Fprintf(w, "%x\n", sha1.Sum([]byte(file)))
		case strings.HasSuffix(r.URL.Path, ".tgz"):
			fmt.Fprint(w, r.URL.Path)
		case r.URL.Path == "/a":
			fmt.Fprint(w, "1 b 1\n2 b 2\n")
		case r.URL.Path == "/b": // b 2 is named by a 2, and names c 3
			fmt.Fprint(w, "1\n2 c 3\n3\n")
		case r.URL.Path == "/c":
			fmt.Fprint(w, "1\n2\n3\n", strings.Repeat("4\n", 20_000))
		case r.URL.Path == "/binary":
			fmt.Fprint(w, "1\n\xff\xfe\n")
		case r.URL.Path == "/long":
			fmt.Fprint(w, strings.Repeat("123456789\n", 200_000))
		default:
			fmt.Fprint(w, "tree 7")
		}
	})
	rec, folder := recorder(t, &ecosystem.Options{Adapter: lines{}, Upstreams: []ecosystem.Upstream{upstream("l", s.URL)}})
	for _, path := range []string{"/l/a", "/l/b", "/l/c", "/l/binary", "/l/long", "/l/db/latest", "/l/a/2.tgz"} {
		if w := ask(rec, path); w.Code != http.StatusOK {
			t.Fatalf("%s: got %d %s", path, w.Code, w.Body)
		}
	}
	r, err := rec.Recording()
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, a := range r.Answers {
		texts[a.Request.Path] = a.Text
		switch a.Request.Path {
		case "/binary", "/long":
			if a.Kept == nil || a.Text != "" {
				t.Errorf("%s is not in the store", a.Request)
			}
		case "/a/2.tgz":
			if a.Kept.Weak != fmt.Sprintf("sha1:%x", sha1.Sum([]byte("/a/2.tgz"))) {
				t.Errorf("the file has no proof: %+v", a.Kept)
			}
		}
	}
	for path, want := range map[string]string{"/a": "2 b 2\n", "/b": "2 c 3\n", "/c": "3\n"} {
		if texts[path] != want {
			t.Errorf("%s: got %.100q, want %q", path, texts[path], want)
		}
	}
	if _, ok := texts["/a/2.tgz.sha1"]; !ok {
		t.Error("the proof is not recorded")
	}
	if _, ok := texts["/db/latest"]; ok {
		t.Error("the answer of the checksum database is recorded")
	}
	p, err := ecosystem.NewReplayer(r, &ecosystem.ReplayOptions{Open: folder.Open})
	if err != nil {
		t.Fatal(err)
	}
	if w := ask(p, "/l/long"); w.Body.Len() != 2_000_000 {
		t.Errorf("the long index: got %d %d bytes", w.Code, w.Body.Len())
	}
	all, err := rec.Whole()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all.Answers, func(a ecosystem.Answer) bool { return a.Request.Path == "/a" })
	if all.Answers[i].Text != "1 b 1\n2 b 2\n" {
		t.Errorf("Whole: got %q", all.Answers[i].Text)
	}
	wrong = true
	if w := ask(rec, "/l/a/1.tgz"); w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), "not the one that was promised") {
		t.Errorf("another proof: got %d %s", w.Code, w.Body)
	}
	if len(r.Files()) != 3 {
		t.Errorf("%d files", len(r.Files()))
	}
}

// TestStoredIsCompared lets the store find another file than the lock file promises by a second hash.
func TestStoredIsCompared(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "content") })
	sum := sha256.Sum256([]byte("content"))
	locked := []ecosystem.File{{Request: ecosystem.Request{Alias: "l", Path: "/a/1.tgz"}, Promised: pir.NewHash(pir.SHA256, sum[:])}}
	rec, folder := recorder(t, &ecosystem.Options{Adapter: lines{}, Upstreams: []ecosystem.Upstream{upstream("l", s.URL)}})
	rec.Lock(locked)
	if w := ask(rec, "/l/a/1.tgz"); w.Code != http.StatusOK {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	if _, _, ok := folder.Find(locked[0].Promised); !ok {
		t.Fatal("the file is not in the store")
	}
	weak := locked[0]
	weak.Weak = fmt.Sprintf("sha1:%x", sha1.Sum([]byte("other")))
	second, err := ecosystem.NewRecorder(&ecosystem.Options{Adapter: lines{}, Files: folder, Upstreams: []ecosystem.Upstream{upstream("l", s.URL)}, Locked: []ecosystem.File{weak}})
	if err != nil {
		t.Fatal(err)
	}
	if w := ask(second, "/l/a/1.tgz"); w.Code != http.StatusBadGateway {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
