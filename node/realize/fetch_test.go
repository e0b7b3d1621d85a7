package realize

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

// TestFetchIsOfItsUser checks what a fetch learns about the request, and that its notices reach the requester.
func TestFetchIsOfItsUser(t *testing.T) {
	f := newFixture(t)
	var got []*source.Request
	f.fetcher.request = func(r *source.Request) {
		got = append(got, r)
		r.Notice("1 entry is left out")
	}
	users := &source.Registries{Logins: []source.Login{{Host: "h", User: "u", Password: "s3cret"}}}
	fetch := func(name string, change func(*Request)) {
		sum := sha256.Sum256([]byte(name))
		id := f.add(&pir.PIR{Kind: pir.Fetch, Hash: pir.NewHash(pir.SHA256, sum[:]), Unpack: pir.UnpackFile}, `{"kind":"npm","name":"`+name+`","version":"1"}`)
		r := f.request(id)
		change(r)
		if _, err := f.r.Realize(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(f.events, func(e protocol.Event) bool {
			return e.Kind == protocol.EventNote && e.PID == id && strings.Contains(e.Text, "left out")
		}) {
			t.Errorf("%s: no note: %v", name, f.events)
		}
		if _, origins, err := f.store.PIR(id); err != nil || strings.Contains(string(origins), "s3cret") {
			t.Errorf("%s: kept with the origins: %s, %v", name, origins, err)
		}
	}
	fetch("user", func(r *Request) { r.Local, r.Registries = true, users })
	fetch("stranger", func(*Request) {})
	if len(got) != 2 || got[0].Anonymous || got[0].Registries != users || !got[1].Anonymous || got[1].Registries != nil {
		t.Errorf("the fetcher was given %+v", got)
	}
}

// What a fetch names by its own hash is taken from the store when all of it is there, and not when a part is gone.
func TestFetchHeld(t *testing.T) {
	for _, gone := range []bool{false, true} {
		f := newFixture(t)
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, source.Out, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, source.Out, "sub", "a"), []byte("held"), 0o644); err != nil {
			t.Fatal(err)
		}
		content, err := f.r.Import(t.Context(), dir, source.Out)
		if err != nil {
			t.Fatal(err)
		}
		if gone {
			e, err := f.store.Lookup(t.Context(), content, "sub/a")
			if err != nil {
				t.Fatal(err)
			}
			blob, err := f.store.BlobPath(e.CID)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(blob); err != nil {
				t.Fatal(err)
			}
			if _, err := f.store.OpenFile(t.Context(), e.CID); err == nil { // the store learns of it
				t.Fatal("a file without its blob opens")
			}
		}
		digest := content.Digest()
		id := f.add(&pir.PIR{Kind: pir.Fetch, Hash: pir.NewHash(pir.B3, digest[:]), Unpack: pir.UnpackArchive}, `{"kind":"path"}`)
		got, err := f.r.Realize(t.Context(), f.request(id))
		switch {
		case gone && f.fetcher.fetched.Load() != 1:
			t.Errorf("with a blob gone: got %+v, %v and no fetch", got, err)
		case !gone && (err != nil || f.fetcher.fetched.Load() != 0 || got.Outputs[0].CID != content.String()):
			t.Errorf("got %+v, %v after %d fetches; want %s from the store", got, err, f.fetcher.fetched.Load(), content)
		}
	}
}
