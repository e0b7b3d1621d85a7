package published

import (
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func private(n byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}

func head(t testing.TB, n byte, number int64, root string, change func(*protocol.FeedHead)) []byte {
	t.Helper()
	h := &protocol.FeedHead{Name: "mine", Number: number, Root: cid.Sum(cid.DagPB, []byte(root)), Issued: now, Expires: now.Add(time.Hour)}
	if change != nil {
		change(h)
	}
	if err := h.Sign(private(n)); err != nil {
		t.Fatal(err)
	}
	b, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func numbers(h *Heads, n byte) (list []string) {
	for _, p := range h.Known([]protocol.Key{protocol.KeyOf(private(n))}) {
		list = append(list, fmt.Sprintf("%s %d", p.Name, p.Number))
	}
	return list
}

// TestLearn offers heads, one after the other, and looks at what is kept, also after a restart, and at what is passed on.
func TestLearn(t *testing.T) {
	one := protocol.KeyOf(private(1))
	revoke := func(h *protocol.FeedHead) {
		h.Revoked = true
		h.Issued = now.Add(-48 * time.Hour)
		h.Expires = now.Add(-47 * time.Hour)
	}
	for name, c := range map[string]struct {
		offer [][]byte
		want  []string
		told  int
	}{
		"newer":                   {[][]byte{head(t, 1, 1, "a", nil), head(t, 1, 2, "b", nil)}, []string{"mine 2"}, 2},
		"older":                   {[][]byte{head(t, 1, 2, "b", nil), head(t, 1, 1, "a", nil)}, []string{"mine 2"}, 1},
		"the same":                {[][]byte{head(t, 1, 2, "b", nil), head(t, 1, 2, "b", nil)}, []string{"mine 2"}, 1},
		"two of one number":       {[][]byte{head(t, 1, 2, "b", nil), head(t, 1, 2, "c", nil), head(t, 1, 2, "d", nil)}, []string{"mine 2", "mine 2"}, 2},
		"a jump":                  {[][]byte{head(t, 1, 2, "b", nil), head(t, 1, 1<<40, "c", nil), head(t, 1, 3, "d", nil)}, []string{"mine 3", "mine 1099511627776"}, 3},
		"a jump first":            {[][]byte{head(t, 1, 1<<40, "c", nil), head(t, 1, 3, "d", nil)}, []string{"mine 3", "mine 1099511627776"}, 2},
		"another signer":          {[][]byte{head(t, 2, 1, "a", nil)}, nil, 0},
		"expired":                 {[][]byte{head(t, 1, 1, "a", func(h *protocol.FeedHead) { h.Issued = now.Add(-2 * time.Hour); h.Expires = now.Add(-time.Hour) })}, nil, 0},
		"from the future":         {[][]byte{head(t, 1, 1, "a", func(h *protocol.FeedHead) { h.Issued = now.Add(25 * time.Hour); h.Expires = now.Add(26 * time.Hour) })}, nil, 0},
		"revoked, even expired":   {[][]byte{head(t, 1, 3, "a", nil), head(t, 1, 2, "a", revoke), head(t, 1, 4, "b", nil)}, []string{"mine 2"}, 2},
		"another feed of the key": {[][]byte{head(t, 1, 3, "a", nil), head(t, 1, 1, "a", func(h *protocol.FeedHead) { h.Name = "other" })}, []string{"mine 3", "other 1"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			h, err := Open(dir, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			told := 0
			h.Newer = func([]byte) { told++ }
			if err := h.Keep([]protocol.Key{one}, false); err != nil {
				t.Fatal(err)
			}
			for _, b := range c.offer {
				if err := h.Learn(b, now); err != nil {
					t.Fatal(err)
				}
			}
			again, err := Open(dir, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			for when, h := range map[string]*Heads{"": h, " after a restart": again} {
				if got := numbers(h, 1); !slices.Equal(got, c.want) {
					t.Errorf("got %q%s, want %q", got, when, c.want)
				}
			}
			if told != c.told {
				t.Errorf("%d heads were passed on, want %d", told, c.told)
			}
		})
	}
	h, err := Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Learn([]byte("no head"), now); err == nil {
		t.Error("what is no head was learned")
	}
}

// TestKeep follows, publishes and drops signers, and bounds what a signer can make the node keep.
func TestKeep(t *testing.T) {
	dir := t.TempDir()
	h, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	one, two := protocol.KeyOf(private(1)), protocol.KeyOf(private(2))
	for _, err := range []error{h.Keep([]protocol.Key{one, two}, false), h.Keep([]protocol.Key{two}, true), h.Keep([]protocol.Key{two}, false)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := h.Publishes(); !slices.Equal(got, []protocol.Key{two}) {
		t.Errorf("it publishes %v", got)
	}
	for i := range protocol.MaxNames + 5 {
		if err := h.Learn(head(t, 1, 1, "a", func(h *protocol.FeedHead) { h.Name = fmt.Sprintf("n%d", i) }), now); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(numbers(h, 1)); got != protocol.MaxNames {
		t.Errorf("%d heads are kept, want %d", got, protocol.MaxNames)
	}
	if err := os.WriteFile(filepath.Join(dir, two.String()+suffix), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if h, err = Open(dir, slog.New(slog.DiscardHandler)); err != nil || h.Follows(two) || !h.Follows(one) {
		t.Errorf("a damaged file: %v", err)
	}
	if err := h.Keep([]protocol.Key{two}, true); err != nil {
		t.Fatal(err)
	}
	if gone, err := h.Drop([]protocol.Key{one, two}, false); err != nil || !slices.Equal(gone, []protocol.Key{one}) || !h.Follows(two) {
		t.Errorf("after drop: %v, %v", gone, err)
	}
	if gone, err := h.Drop([]protocol.Key{one, two}, true); err != nil || !slices.Equal(gone, []protocol.Key{two}) || h.Any() {
		t.Errorf("after drop: %v, %v", gone, err)
	}
	var none *Heads
	if none.Any() || none.Follows(one) || none.Known([]protocol.Key{one}) != nil || none.Learn(head(t, 1, 1, "a", nil), now) != nil {
		t.Error("a nil Heads keeps something")
	}
}
