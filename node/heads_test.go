package node

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/node/mesh"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

var (
	noon    = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	discard = slog.New(slog.DiscardHandler)
)

func testKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func testHead(t *testing.T, seed byte, number int64, change func(*protocol.Head)) *protocol.Head {
	t.Helper()
	h := &protocol.Head{Number: number, Issued: noon, Expires: noon.Add(protocol.HeadLifetime)}
	if change != nil {
		change(h)
	}
	if err := h.Sign(testKey(seed)); err != nil {
		t.Fatal(err)
	}
	return h
}

func newHeads(t testing.TB, dir string) *heads {
	t.Helper()
	h, err := openHeads(dir, discard)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHeadsOnlyGoForward(t *testing.T) {
	dir := t.TempDir()
	h := newHeads(t, dir)
	key := protocol.KeyOf(testKey(1))
	for number, want := range map[int64]error{5: nil} {
		if err := h.learn(testHead(t, 1, number, nil), noon); !errors.Is(err, want) {
			t.Fatalf("head %d: got %v", number, err)
		}
	}
	if err := h.learn(testHead(t, 1, 4, nil), noon); !errors.Is(err, protocol.ErrBackward) {
		t.Errorf("an older head: got %v, want %v", err, protocol.ErrBackward)
	}
	if len(h.Backward()) > 0 {
		t.Errorf("a late messenger is no evidence against the signer: got %v", h.Backward())
	}
	other := testHead(t, 1, 5, func(h *protocol.Head) { h.Expires = h.Expires.Add(time.Hour) })
	if err := h.learn(other, noon); !errors.Is(err, protocol.ErrBackward) {
		t.Errorf("another head 5: got %v, want %v", err, protocol.ErrBackward)
	}
	if h.Known()[key].Number != 5 || !h.Known()[key].Expires.Equal(noon.Add(protocol.HeadLifetime)) {
		t.Errorf("got %+v, want the first head 5", h.Known()[key])
	}
	if err := h.learn(testHead(t, 1, 6, nil), noon.Add(8*24*time.Hour)); err == nil {
		t.Error("an expired head was taken")
	}
	if err := h.learn(testHead(t, 1, 6, func(h *protocol.Head) {
		h.Issued, h.Expires = noon.Add(48*time.Hour), noon.Add(72*time.Hour)
	}), noon); err == nil {
		t.Error("a head from the future was taken")
	}

	// All of that is remembered, and a key's last word is its last.
	h = newHeads(t, dir)
	if h.Known()[key].Number != 5 || h.Backward()[key] == "" {
		t.Errorf("after opening again: got %+v and %q", h.Known()[key], h.Backward()[key])
	}
	if err := h.learn(testHead(t, 1, 6, func(h *protocol.Head) { h.Revoked = true }), noon); err != nil {
		t.Fatal(err)
	}
	if err := h.learn(testHead(t, 1, 7, nil), noon); !errors.Is(err, protocol.ErrBackward) {
		t.Errorf("after the last word: got %v", err)
	}
	if !newHeads(t, dir).Known()[key].Revoked {
		t.Error("a revocation was forgotten")
	}
}

func TestDamagedHeadDoesNotCount(t *testing.T) {
	dir := t.TempDir()
	h := newHeads(t, dir)
	if err := h.learn(testHead(t, 1, 1, nil), noon); err != nil {
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

// home is what a handler needs of a node, without its sockets.
func newHandler(t *testing.T) *handler {
	t.Helper()
	dir := t.TempDir()
	home := protocol.Home{Data: dir, Cache: filepath.Join(dir, "cache"), Run: filepath.Join(dir, "run")}
	store, err := cas.Open(home.Store(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	known := newHeads(t, filepath.Join(home.Swarm(), "heads"))
	key, err := loadNodeKey(home, known)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := openPolicy(home.Policy())
	if err != nil {
		t.Fatal(err)
	}
	config, err := config.Open(home.Config())
	if err != nil {
		t.Fatal(err)
	}
	grants, err := control.OpenGrants(home.Grants())
	if err != nil {
		t.Fatal(err)
	}
	shares, err := openSharing(t.Context(), store, config.Get, func(pir.PID) ([]pir.PID, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	members, err := mesh.Open(home.Meshes(), key, discard)
	if err != nil {
		t.Fatal(err)
	}
	s := newSwarms(&swarms{home: home, store: store, key: key, config: config, policy: policy, heads: known, sharing: shares, meshes: members, log: discard})
	return &handler{
		store: store, home: home, key: protocol.KeyOf(key), private: key, policy: policy, config: config, grants: grants,
		heads: known, sharing: shares, swarms: s, stop: func() {},
	}
}

// put takes a tree in and binds it to the PID of a description of that name, by a key's word.
func put(t *testing.T, h *handler, key ed25519.PrivateKey, name string, tree fs.FS) (pir.PID, cid.CID) {
	t.Helper()
	root, err := h.store.Import(t.Context(), tree, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &pir.PIR{Kind: pir.Data, Name: name, Data: name}
	canonical, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	id := pir.Sum(canonical)
	if err := h.store.PutPIR(t.Context(), id, canonical, nil); err != nil {
		t.Fatal(err)
	}
	a := protocol.Attestation{PID: id, CID: root, Size: 1, Issued: noon}
	if err := a.Sign(key); err != nil {
		t.Fatal(err)
	}
	if err := h.store.Bind(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return id, root
}

func TestSpeak(t *testing.T) {
	h := newHandler(t)
	mine, _ := put(t, h, h.private, "mine", tree("mine"))
	put(t, h, h.private, "private", tree("private"))
	put(t, h, testKey(9), "other", tree("other"))
	h.sharing.explicit[mine] = true
	speak := func(at time.Time) *protocol.Head {
		said, err := h.swarms.ownStatements()
		if err != nil {
			t.Fatal(err)
		}
		if err := h.heads.speak(h.private, said, at); err != nil {
			t.Fatal(err)
		}
		return h.heads.Known()[h.key]
	}
	first := speak(noon)
	if first.Number != 1 || first.Root.IsZero() {
		t.Fatalf("got %+v", first)
	}
	var list bytes.Buffer
	said, err := h.swarms.ownStatements()
	if err == nil {
		err = protocol.EncodeStatements(&list, said)
	}
	if err != nil || len(said) != 1 || said[0].PID != mine {
		t.Fatalf("got %v, %v; want what is shared and ours, no more and no less", said, err)
	}
	if want := cid.Sum(cid.Raw, list.Bytes()); first.Root != want {
		t.Errorf("the head names %s, want the hash of the list %s", first.Root, want)
	}
	files := func() int {
		s, err := h.store.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Files + s.Roots
	}
	before := files()
	speak(noon.Add(time.Minute))
	if after := files(); after != before {
		t.Errorf("%d files and roots after a head, %d before", after, before)
	}
	if again := speak(noon.Add(time.Hour)); again.Number != 1 {
		t.Errorf("got head %d though nothing was new", again.Number)
	}
	if again := speak(noon.Add(protocol.HeadLifetime * 3 / 4)); again.Number != 2 {
		t.Errorf("got head %d, want a new one before the old one expires", again.Number)
	}
}

func TestRotate(t *testing.T) {
	h := newHandler(t)
	id, root := put(t, h, h.private, "mine", tree("mine"))
	put(t, h, testKey(9), "other", tree("other"))
	old := h.key
	s, err := h.keyCall(t.Context(), protocol.KeyArgs{Action: protocol.ActionRotate})
	if err != nil {
		t.Fatal(err)
	}
	if s.Key == old || !cmp.Equal(s.Before, []protocol.Key{old}) {
		t.Errorf("got %+v", s)
	}
	head := h.heads.Known()[old]
	if !head.Revoked || head.Next != s.Key {
		t.Errorf("got the last word %+v", head)
	}
	key, err := loadNodeKey(h.home, h.heads)
	if err != nil || protocol.KeyOf(key) != s.Key {
		t.Fatalf("got %v, want the new key", err)
	}
	var signers []protocol.Key
	for a, err := range h.store.Attestations(id) {
		if err != nil || a.CID != root {
			t.Fatal(a.CID, err)
		}
		signers = append(signers, a.Signer)
	}
	if len(signers) != 2 {
		t.Errorf("got the signers %v, want both keys", signers)
	}
	if _, err := h.keyCall(t.Context(), protocol.KeyArgs{Action: protocol.ActionRevoke, Key: protocol.KeyOf(testKey(9))}); protocol.CodeOf(err) != protocol.Invalid {
		t.Errorf("another's key: got %v", err)
	}
}

// A change of keys that a crash cut off is finished if the old key has said its last word, and forgotten otherwise.
func TestRotateCutOff(t *testing.T) {
	for _, said := range []bool{false, true} {
		h := newHandler(t)
		next, err := control.LoadKey(h.home.NodeKey() + newKeySuffix)
		if err != nil {
			t.Fatal(err)
		}
		want := h.key
		if said {
			want = protocol.KeyOf(next)
			if err := h.heads.revoke(h.private, want, noon); err != nil {
				t.Fatal(err)
			}
		}
		key, err := loadNodeKey(h.home, h.heads)
		if err != nil || protocol.KeyOf(key) != want {
			t.Errorf("last word said %v: got %v", said, err)
		}
		if _, err := os.Stat(h.home.NodeKey() + newKeySuffix); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("last word said %v: the new key's file is still there", said)
		}
	}
}

// Case 10: heads from clocks that are ahead are told of, and count up to a day; who brings one that does not count is not to
// blame for it.
func TestClocks(t *testing.T) {
	h := newHandler(t)
	var log bytes.Buffer
	h.heads.log = slog.New(slog.NewTextHandler(&log, nil))
	signer := protocol.KeyOf(testKey(1))
	if err := h.policy.change(func(p *protocol.Policy) error { return addSigner(p, &protocol.TrustArgs{Key: signer}) }); err != nil {
		t.Fatal(err)
	}
	var err error
	h.realizer, err = realize.New(&realize.Options{Store: h.store, Key: h.private, Dir: t.TempDir(), Policy: h.policy.Get, Heads: h.heads.Known})
	if err != nil {
		t.Fatal(err)
	}
	y := &system{s: h.swarms}
	for i, c := range []struct {
		ahead, told time.Duration
		counts      bool
	}{
		{5 * time.Hour, 5 * time.Hour, true},
		{30 * time.Hour, 30 * time.Hour, false},
		{-protocol.HeadLifetime - time.Hour, 0, false}, // it is over, and the node that brings it knows nothing newer
		{0, 0, true},
		{-23 * time.Hour, 0, true},
	} {
		head := testHead(t, 1, int64(i+1), func(head *protocol.Head) {
			head.Issued = time.Now().Add(c.ahead)
			head.Expires = head.Issued.Add(protocol.HeadLifetime)
		})
		text, err := head.Encode()
		if err != nil {
			t.Fatal(err)
		}
		log.Reset()
		if err := y.Learn(t.Context(), text); err != nil {
			t.Errorf("%s ahead: %v", c.ahead, err)
		}
		if known := h.heads.Known()[signer]; (known != nil && known.Number == head.Number) != c.counts {
			t.Errorf("%s ahead: got %+v, want it to count: %v", c.ahead, known, c.counts)
		}
		got, err := h.trust(t.Context(), protocol.TrustArgs{})
		if err != nil {
			t.Fatal(err)
		}
		ahead := got.(protocol.Trust).Rules[0].Signers[0].Ahead
		if ahead > c.told || ahead < c.told-time.Minute {
			t.Errorf("%s ahead: trust list tells of %s", c.ahead, ahead)
		}
		if i == 0 && !bytes.Contains(log.Bytes(), []byte("the clock of a signer is ahead")) {
			t.Errorf("the log has %q", log.String())
		}
	}
}
