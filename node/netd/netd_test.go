package netd

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/receive"
	"github.com/MordragT/nuka/node/swarm"
	"github.com/MordragT/nuka/node/swarm/fetch"
	"github.com/MordragT/nuka/node/swarm/peers"
	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/wasmrt"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Arg {
		if err := Main(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// A system is a swarm.System over a store.
type system struct {
	*cas.Store
	t *testing.T

	mu                 sync.Mutex
	said               map[pir.PID][][]byte
	heads              [][]byte
	published, learned [][]byte // heads of feeds
	pirs               map[pir.PID][]byte
	put                func() // called for each block that arrives
}

func (y *system) Block(ctx context.Context, c cid.CID, _ routing.Requester) ([]byte, error) {
	return y.Store.Block(ctx, c)
}

func (y *system) Statements(_ context.Context, ids []pir.PID, to routing.Requester) ([][]byte, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	var all [][]byte
	if !to.Private || to.Key.IsZero() {
		return nil, errors.New("the asker is wrong")
	}
	for _, id := range ids {
		all = append(all, y.said[id]...)
	}
	return all, nil
}

func (y *system) PIR(_ context.Context, id pir.PID, _ routing.Requester) ([]byte, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if b, ok := y.pirs[id]; ok {
		return b, nil
	}
	return nil, errors.New("there is none")
}

func (y *system) Heads(context.Context, []protocol.Key) ([][]byte, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.heads, nil
}

func (y *system) Learn(_ context.Context, head []byte) error {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.heads = append(y.heads, bytes.Clone(head))
	return fmt.Errorf("a head: %w", protocol.ErrBackward)
}

func (y *system) Shared(context.Context) iter.Seq2[routing.Announcement, error] {
	return func(yield func(routing.Announcement, error) bool) {
		for id := range y.said {
			if !yield(routing.Announcement{PID: id}, nil) {
				return
			}
		}
	}
}

// A slow is a receiver that calls put before it stores each block.
type slow struct {
	*receive.Receiving
	put func()
}

func (r slow) Put(b cid.Block) error {
	if r.put != nil {
		r.put()
	}
	return r.Receiving.Put(b)
}

func (y *system) Receive(ctx context.Context, root cid.CID, size int64) (fetch.Receiver, error) {
	r, err := y.Store.Receive(ctx, root, &receive.Options{Size: size})
	if err != nil {
		return nil, err
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	return slow{r, y.put}, nil
}

// say adds a statement about a PID, signed by a key.
func (y *system) say(k ed25519.PrivateKey, id pir.PID) {
	a := &protocol.Attestation{PID: id, CID: cid.Sum(cid.Raw, id[:]), Size: 1, Issued: time.Now()}
	if err := a.Sign(k); err != nil {
		y.t.Fatal(err)
	}
	b, err := a.Encode()
	if err != nil {
		y.t.Fatal(err)
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.said[id] = append(y.said[id], b)
}

func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

// A node is a network under test.
type node struct {
	Network
	system *system
	key    ed25519.PrivateKey
	stop   func()
}

func (n *node) ticket() string {
	return (&protocol.Ticket{Node: protocol.KeyOf(n.key), Addresses: n.Addresses()}).String()
}

// start starts a network, in a process of its own (apart) or in this one.
func start(t *testing.T, apart bool, seed byte, change func(*swarm.Options)) *node {
	t.Helper()
	store, err := cas.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{key: key(seed), system: &system{Store: store, t: t, said: map[pir.PID][][]byte{}}}
	o := &swarm.Options{System: n.system, Options: peers.Options{
		Key: n.key, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Dir: t.TempDir(),
		Signers: func() []protocol.Key { return []protocol.Key{protocol.KeyOf(key(1))} },
		Log:     slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})).With("node", seed),
	}}
	if change != nil {
		change(o)
	}
	if apart {
		n.Network, err = Start(t.Context(), &Options{Name: t.Name(), Swarm: o})
	} else {
		n.Network, err = swarm.New(o)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(n.stop)
	return n
}

// tree imports a tree of several leaves.
func tree(t *testing.T, y *system, files int) cid.CID {
	t.Helper()
	tree := fstest.MapFS{}
	for i := range files {
		b := bytes.Repeat(fmt.Append(nil, "file ", i, " "), 300_000)
		tree[fmt.Sprintf("d/%d", i)] = &fstest.MapFile{Data: b, Mode: 0o644}
	}
	root, err := y.Import(t.Context(), tree, nil)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Both kinds of Network behave alike.
func TestNetwork(t *testing.T) {
	for name, apart := range map[string]bool{"here": false, "apart": true} {
		t.Run(name, func(t *testing.T) { testNetwork(t, apart) })
	}
}

func testNetwork(t *testing.T, apart bool) {
	invited := func(o *swarm.Options) {
		o.Invited = func(_ context.Context, key protocol.Key, request []byte) ([]byte, error) {
			if string(request) != "let me in" {
				return nil, errors.New("no")
			}
			return append([]byte("welcome "), key[:]...), nil
		}
	}
	a, b := start(t, apart, 1, invited), start(t, apart, 2, nil)
	id, root := pir.Sum([]byte("a package")), tree(t, a.system, 5)
	a.system.say(a.key, id)
	a.Announce(id)
	if err := b.Connect(t.Context(), a.ticket()); err != nil {
		t.Fatal(err)
	}
	said, err := b.Statements(t.Context(), []pir.PID{id, pir.Sum([]byte("another"))})
	if err != nil || len(said) != 1 || said[0].PID != id || said[0].Signer != protocol.KeyOf(a.key) {
		t.Errorf("statements: got %v, %v", said, err)
	}
	described, err := (&pir.PIR{Kind: pir.Data, Name: "lib", Data: int64(7)}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	lib := pir.Sum(described)
	a.system.mu.Lock()
	a.system.pirs = map[pir.PID][]byte{lib: described}
	a.system.mu.Unlock()
	pirs, err := b.PIRs(t.Context(), []pir.PID{id, lib})
	if err != nil || len(pirs) != 1 || string(pirs[lib]) != string(described) {
		t.Errorf("PIRs: got %q, %v", pirs, err)
	}
	var last [2]int64
	if err := b.Fetch(t.Context(), root, 0, func(done, total int64) { last = [2]int64{done, total} }); err != nil {
		t.Fatal(err)
	}
	if last[0] == 0 || last[0] != last[1] {
		t.Errorf("progress: got %v at the end", last)
	}
	if _, err := b.system.Block(t.Context(), root, routing.Requester{}); err != nil {
		t.Errorf("what was fetched: %v", err)
	}
	if p := b.Peers(); len(p) != 1 || p[0].Key != protocol.KeyOf(a.key) || p[0].Received == 0 {
		t.Errorf("peers: got %+v", p)
	}
	if st := b.Status(); st.Peers != 1 || !cmp.Equal(st.Addresses, b.Addresses()) || len(st.Addresses) == 0 {
		t.Errorf("status: got %+v", st)
	}
	// b learns a head of a signer that it trusts, and no other head.
	for _, k := range []ed25519.PrivateKey{a.key, b.key} {
		h := &protocol.Head{Number: 1, Issued: time.Now(), Expires: time.Now().Add(time.Hour)}
		if err := h.Sign(k); err != nil {
			t.Fatal(err)
		}
		text, err := h.Encode()
		if err != nil {
			t.Fatal(err)
		}
		a.Tell(t.Context(), text)
	}
	if heads, _ := b.system.Heads(t.Context(), nil); len(heads) != 1 || !bytes.Contains(heads[0], []byte(protocol.KeyOf(a.key).String())) {
		t.Errorf("heads: got %q", heads)
	}
	testPublished(t, a, b, root)
	answer, err := b.Join(t.Context(), a.ticket(), []byte("let me in"))
	if want := slices.Concat([]byte("welcome "), b.key.Public().(ed25519.PublicKey)); err != nil || !bytes.Equal(answer, want) {
		t.Errorf("join: got %q, %v", answer, err)
	}
	for name, err := range map[string]error{
		"join":    last1(b.Join(t.Context(), a.ticket(), []byte("please"))),
		"connect": b.Connect(t.Context(), "/nowhere"),
		"fetch":   b.Fetch(t.Context(), cid.Sum(cid.DagPB, []byte("nothing")), 0, nil),
	} {
		want := map[string]protocol.Code{"join": protocol.Denied, "connect": protocol.Invalid, "fetch": protocol.Unavailable}[name]
		if e := protocol.AsError(err); err == nil || e.Code != want || e.Hint == "" {
			t.Errorf("%s: got %#v, want %s and a hint", name, e, want)
		}
	}
	// A cancelled fetch ends, and leaves nothing that would block a later fetch of the same tree.
	ctx, cancel := context.WithCancel(t.Context())
	b.system.put = cancel
	other := tree(t, a.system, 9)
	if err := b.Fetch(ctx, other, 0, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
	if err := b.Fetch(t.Context(), other, 0, nil); err != nil {
		t.Errorf("after it was canceled: %v", err)
	}
	b.stop()
	if err := b.Fetch(t.Context(), cid.Sum(cid.Raw, []byte("late")), 0, nil); err == nil {
		t.Error("a swarm that was left fetches")
	}
}

func last1(_ []byte, err error) error { return err }

// The system daemon decides which nodes may be in a private swarm, by a credential that can change.
func TestAdmit(t *testing.T) {
	var mu sync.Mutex
	shown, seen, renewed := "a", map[string]bool{}, ""
	mesh := func(credential func() string) func(*swarm.Options) {
		return func(o *swarm.Options) {
			o.Prefix = "/mesh"
			o.Credential = func() ([]byte, error) { return []byte(credential()), nil }
			o.Admit = func(_ protocol.Key, credential []byte) ([]byte, error) {
				mu.Lock()
				defer mu.Unlock()
				seen[string(credential)] = true
				if string(credential) == "stranger" {
					return nil, errors.New("no member")
				}
				return []byte("newer"), nil
			}
			o.Renewed = func(credential []byte) error {
				mu.Lock()
				defer mu.Unlock()
				renewed = string(credential)
				return nil
			}
		}
	}
	a := start(t, true, 1, mesh(func() string { mu.Lock(); defer mu.Unlock(); return shown }))
	b := start(t, true, 2, mesh(func() string { return "b" }))
	if err := b.Connect(t.Context(), a.ticket()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	shown = "a again"
	mu.Unlock()
	a.Renew()
	until(t, func() bool { mu.Lock(); defer mu.Unlock(); return seen["a again"] && renewed == "newer" })
	c := start(t, true, 3, mesh(func() string { return "stranger" }))
	if err := c.Connect(t.Context(), a.ticket()); err == nil {
		t.Error("a stranger was let in")
	}
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within a minute")
		}
	}
}

// The system daemon signs messages of a peer with the node's key, and refuses to sign statements and heads of a signer.
func TestSign(t *testing.T) {
	s := &served{o: &swarm.Options{Options: peers.Options{Key: key(1)}}}
	if _, signature, err := s.sign(t.Context(), &call{body: []byte("libp2p-tls-handshake:abc")}); err != nil ||
		!ed25519.Verify(key(1).Public().(ed25519.PublicKey), []byte("libp2p-tls-handshake:abc"), signature) {
		t.Errorf("a handshake: got %x, %v", signature, err)
	}
	for _, message := range []string{"", "nuka attestation 1\x00…", "nuka head 1\x00…", "nuka certificate 1\x00…", "nuka revocations 1\x00…", "libp2p-tls-handshake"} {
		if _, signature, err := s.sign(t.Context(), &call{body: []byte(message)}); err == nil {
			t.Errorf("signed %q: %x", message, signature)
		}
	}
}

// The system daemon verifies everything that a net daemon sends.
func TestTrustsNothing(t *testing.T) {
	a, b := start(t, false, 1, nil), start(t, false, 2, nil)
	root := tree(t, a.system, 1)
	s := &served{o: &swarm.Options{System: b.system, Options: peers.Options{Key: b.key}}}
	defer s.close()
	do := func(method string, args any, body []byte) (any, error) {
		text, err := json.Marshal(args)
		if err != nil {
			t.Fatal(err)
		}
		result, _, err := s.handlers()[method](t.Context(), &call{args: text, body: body})
		return result, err
	}
	r, err := do(callReceive, fetchArgs{Root: root}, nil)
	if err != nil {
		t.Fatal(err)
	}
	id := r.(receiverArgs).ID
	for wanted := []cid.CID{root}; len(wanted) > 0; {
		for _, c := range wanted {
			block, err := a.system.Block(t.Context(), c, routing.Requester{})
			if err != nil {
				t.Fatal(err)
			}
			wrong := bytes.Clone(block)
			wrong[len(wrong)-1] ^= 1
			if _, err := do(callPut, putArgs{id, c}, wrong); !errors.Is(err, receive.ErrWrongBlock) {
				t.Errorf("a wrong block: got %v", err)
			}
			if _, err := do(callPut, putArgs{id, c}, block); err != nil {
				t.Errorf("the right one: %v", err)
			}
		}
		s.mu.Lock()
		receiving := s.receivers[id]
		s.mu.Unlock()
		if wanted = receiving.WantNodes(); len(wanted) == 0 {
			for _, l := range receiving.WantLeaves() {
				wanted = append(wanted, l.CID)
			}
		}
	}
	if _, err := do(callFinish, receiverArgs{ID: id}, nil); err != nil {
		t.Errorf("finish: %v", err)
	}

	said := pir.Sum([]byte("a package"))
	a.system.say(a.key, said)
	line := bytes.Replace(a.system.said[said][0], []byte(`"size":1`), []byte(`"size":2`), 1)
	p, theirs := pipes(t, map[string]handler{callStatements: func(context.Context, *call) (any, []byte, error) {
		return lines{[][]byte{line}}, nil, nil
	}})
	d := &Daemon{now: &process{link: p}, next: make(chan struct{}), ended: make(chan struct{}), log: slog.New(slog.DiscardHandler)}
	if got, err := d.Statements(t.Context(), []pir.PID{said}); err == nil || len(got) != 0 {
		t.Errorf("a statement that nobody has signed: got %v, %v", got, err)
	}
	theirs()
}

// pipes returns a link to another link that has the given handlers, and a function that ends it.
func pipes(t *testing.T, handlers map[string]handler) (l *link, end func()) {
	t.Helper()
	hereR, thereW := io.Pipe()
	thereR, hereW := io.Pipe()
	l = newLink(wasmrt.NewConn(hereR, hereW), nil, 0)
	there := newLink(wasmrt.NewConn(thereR, thereW), handlers, 0)
	var running sync.WaitGroup
	for _, x := range []*link{l, there} {
		running.Go(func() {
			if err := x.run(t.Context(), nil); !errors.Is(err, io.EOF) {
				t.Errorf("link: %v", err)
			}
		})
	}
	return l, func() {
		thereW.Close()
		hereW.Close()
		running.Wait()
	}
}

var (
	_ Network       = (*swarm.Swarm)(nil)
	_ Network       = (*Daemon)(nil)
	_ crypto.Signer = (*signer)(nil)
)
