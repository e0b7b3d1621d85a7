package realize

import (
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

// TestFetchIsOfItsUser checks which fields of the request a fetch gets, and that its notices reach the requester.
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
