package trust

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
)

// TestMain checks that every goroutine that a test starts has ended.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func testHead(t *testing.T, seed byte, number int64, change func(*protocol.Head)) *protocol.Head {
	t.Helper()
	h := &protocol.Head{Number: number, Issued: noon, Expires: noon.Add(protocol.HeadLifetime)}
	if change != nil {
		change(h)
	}
	if err := h.Sign(castest.Key(seed)); err != nil {
		t.Fatal(err)
	}
	return h
}

func newHeads(t testing.TB, dir string) *Heads {
	t.Helper()
	h, err := OpenHeads(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHeadsOnlyGoForward(t *testing.T) {
	dir := t.TempDir()
	h := newHeads(t, dir)
	key := protocol.KeyOf(castest.Key(1))
	for number, want := range map[int64]error{5: nil} {
		if err := h.Learn(testHead(t, 1, number, nil), noon); !errors.Is(err, want) {
			t.Fatalf("head %d: got %v", number, err)
		}
	}
	if err := h.Learn(testHead(t, 1, 4, nil), noon); !errors.Is(err, protocol.ErrBackward) {
		t.Errorf("an older head: got %v, want %v", err, protocol.ErrBackward)
	}
	if len(h.Backward()) > 0 {
		t.Errorf("a late messenger is no evidence against the signer: got %v", h.Backward())
	}
	other := testHead(t, 1, 5, func(h *protocol.Head) { h.Expires = h.Expires.Add(time.Hour) })
	if err := h.Learn(other, noon); !errors.Is(err, protocol.ErrBackward) {
		t.Errorf("another head 5: got %v, want %v", err, protocol.ErrBackward)
	}
	if h.Known()[key].Number != 5 || !h.Known()[key].Expires.Equal(noon.Add(protocol.HeadLifetime)) {
		t.Errorf("got %+v, want the first head 5", h.Known()[key])
	}
	if err := h.Learn(testHead(t, 1, 6, nil), noon.Add(8*24*time.Hour)); err == nil {
		t.Error("an expired head was taken")
	}
	if err := h.Learn(testHead(t, 1, 6, func(h *protocol.Head) {
		h.Issued, h.Expires = noon.Add(48*time.Hour), noon.Add(72*time.Hour)
	}), noon); err == nil {
		t.Error("a head from the future was taken")
	}

	// All of that survives a restart, and no head follows the last head of a key.
	h = newHeads(t, dir)
	if h.Known()[key].Number != 5 || h.Backward()[key] == "" {
		t.Errorf("after opening again: got %+v and %q", h.Known()[key], h.Backward()[key])
	}
	if err := h.Learn(testHead(t, 1, 6, func(h *protocol.Head) { h.Revoked = true }), noon); err != nil {
		t.Fatal(err)
	}
	if err := h.Learn(testHead(t, 1, 7, nil), noon); !errors.Is(err, protocol.ErrBackward) {
		t.Errorf("after the last word: got %v", err)
	}
	if !newHeads(t, dir).Known()[key].Revoked {
		t.Error("a revocation was forgotten")
	}
}

func TestDamagedHeadDoesNotCount(t *testing.T) {
	dir := t.TempDir()
	h := newHeads(t, dir)
	if err := h.Learn(testHead(t, 1, 1, nil), noon); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"+headSuffix))
	if err != nil || len(files) != 1 {
		t.Fatalf("got %v, %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2]++
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if h = newHeads(t, dir); len(h.Known()) > 0 {
		t.Errorf("got %v, want none", h.Known())
	}
}

// LoadKey finishes a change of keys that a crash cut off if the old key has made its last head, and drops it otherwise.
func TestChangeKeyCutOff(t *testing.T) {
	for _, said := range []bool{false, true} {
		dir := t.TempDir()
		path, h := filepath.Join(dir, "node"), newHeads(t, filepath.Join(dir, "heads"))
		old, err := LoadKey(path, h)
		if err != nil {
			t.Fatal(err)
		}
		next, err := control.LoadKey(path + newKeySuffix)
		if err != nil {
			t.Fatal(err)
		}
		want := protocol.KeyOf(old)
		if said {
			want = protocol.KeyOf(next)
			if err := h.revoke(old, want, noon); err != nil {
				t.Fatal(err)
			}
		}
		key, err := LoadKey(path, h)
		if err != nil || protocol.KeyOf(key) != want {
			t.Errorf("last head made %v: got %v", said, err)
		}
		if _, err := os.Stat(path + newKeySuffix); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("last head made %v: the new key's file is still there", said)
		}
	}
}
