package claims

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/routing/routingtest"
	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// learned is a Heads that keeps what it is given.
type learned struct {
	mu    sync.Mutex
	heads [][]byte
}

func (l *learned) LearnPublished(ctx context.Context, head []byte) error { return l.Learn(ctx, head) }

func (l *learned) Learn(_ context.Context, head []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heads = append(l.heads, slices.Clone(head))
	return nil
}

// start returns a network without peers, and an Asker that trusts some signers.
func start(t testing.TB, signers ...ed25519.PrivateKey) (*routingtest.Network, *Asker, *learned) {
	t.Helper()
	z, err := wire.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	n, l := routingtest.New(t), &learned{}
	keys := make([]protocol.Key, len(signers))
	for i, s := range signers {
		keys[i] = protocol.KeyOf(s)
	}
	return n, New(&Options{Router: n, Heads: l, Codec: z, Signers: func() []protocol.Key { return keys }, Log: slog.New(slog.DiscardHandler)}), l
}

// say returns a signer's line about each PID.
func say(t testing.TB, key ed25519.PrivateKey, ids ...pir.PID) (lines []byte) {
	t.Helper()
	for _, id := range ids {
		lines = append(append(lines, routingtest.Statement(t, key, id)...), '\n')
	}
	return lines
}

// tells answers requests for statements and heads with lines.
func tells(statements, heads []byte) func(string, *routingtest.Stream) {
	return func(_ string, st *routingtest.Stream) {
		r, w := bufio.NewReader(st), bufio.NewWriter(st)
		for {
			kind, _, err := protocol.ReadAsk(r)
			if err != nil {
				return
			}
			lines := statements
			if kind == protocol.AskHeads {
				lines = heads
			}
			if len(lines) > 0 && protocol.WriteAnswer(w, protocol.Plain, lines) != nil {
				return
			}
			if protocol.WriteAnswer(w, protocol.End, nil) != nil || w.Flush() != nil {
				return
			}
		}
	}
}

func silent(_ string, st *routingtest.Stream) {
	_, _ = io.Copy(io.Discard, st)
	st.Wait()
}

// A silent peer costs its own time and no more, a liar is not asked again, and statements of unknown signers are dropped.
func TestStatements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer, stranger := routingtest.Key(100), routingtest.Key(101)
		ids := routingtest.PIDs(5)
		n, a, l := start(t, signer)
		head := []byte(fmt.Sprintf(`{"signer":"%s"}`, protocol.KeyOf(signer)))
		other := []byte(fmt.Sprintf(`{"signer":"%s"}`, protocol.KeyOf(stranger)))
		n.Add(silent)
		liar := n.Add(tells([]byte("no statement\n"), nil))
		n.Add(tells(say(t, stranger, ids...), append(slices.Clone(other), '\n')))
		n.Add(tells(say(t, signer, ids[:3]...), append(slices.Clone(head), '\n')))
		found := n.Add(tells(say(t, signer, ids[2:]...), nil))
		found.Apart, found.Announced = true, true
		begin := time.Now()
		said, err := a.Statements(t.Context(), ids)
		if err != nil || len(said) != len(ids) { // what two peers tell is kept once
			t.Errorf("got %d statements, %v; want %d", len(said), err, len(ids))
		}
		for _, s := range said {
			if s.Signer != protocol.KeyOf(signer) {
				t.Errorf("a statement of %s", s.Signer)
			}
		}
		if d := time.Since(begin); d != askTimeout {
			t.Errorf("it took %v, want the %v of the silent peer", d, askTimeout)
		}
		if n.Peer(liar.Key).Ready() || n.Book.Lies.Load() != 1 {
			t.Errorf("the liar is asked again at once, or others are blamed: %d lies", n.Book.Lies.Load())
		}
		if len(l.heads) != 1 || string(l.heads[0]) != string(head) {
			t.Errorf("learned %q, want the signer's head", l.heads)
		}
	})
}

// A signer is asked even if strangers take all places, and one that cannot be reached is left alone.
func TestSignersFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := routingtest.PIDs(1)
		signer := routingtest.Key(askPeers + 11)
		n, a, _ := start(t, signer, routingtest.Key(200))
		for range askPeers {
			n.Add(silent)
		}
		for range 10 {
			node := n.Add(silent)
			node.Apart, node.Announced = true, true
		}
		tell := tells(say(t, signer, ids...), nil)
		var asked time.Time
		node := n.Add(func(name string, st *routingtest.Stream) { asked = time.Now(); tell(name, st) })
		node.Apart, node.Delay = true, time.Millisecond
		begin := time.Now()
		if said, err := a.Statements(t.Context(), ids); err != nil || len(said) != 1 {
			t.Errorf("got %d statements, %v", len(said), err)
		}
		if d := asked.Sub(begin); d != node.Delay {
			t.Errorf("the signer was asked after %v", d)
		}
		strangers := 0
		for i := range askPeers + 10 {
			strangers += n.Node(protocol.KeyOf(routingtest.Key(i + 1))).Opened()
		}
		if strangers > askPeers {
			t.Errorf("%d strangers were asked, want %d at most", strangers, askPeers)
		}
		if got := n.Book.Failures.Load(); got != int64(strangers)+1 {
			t.Errorf("got %d failures, want those of %d silent strangers and of the signer that cannot be reached", got, strangers)
		}
	})
}

// PIRs come from the first peers that have them; a slow peer does not delay the next, and a foreign one is not asked.
func TestPIRs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, _ := start(t)
		b, err := (&pir.PIR{Kind: pir.Data, Name: "a", Data: "x"}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		other, err := (&pir.PIR{Kind: pir.Data, Name: "a", Data: "y"}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		id := pir.Sum(b)
		foreign := n.Add(silent)
		foreign.Foreign = true
		n.Add(silent)
		liar := n.Add(func(_ string, st *routingtest.Stream) {
			r, w := bufio.NewReader(st), bufio.NewWriter(st)
			if _, _, err := protocol.ReadAsk(r); err == nil {
				_ = protocol.WriteAnswer(w, protocol.Plain, other)
				_ = w.Flush()
			}
		})
		n.Add(func(_ string, st *routingtest.Stream) {
			r, w := bufio.NewReader(st), bufio.NewWriter(st)
			if _, _, err := protocol.ReadAsk(r); err == nil {
				_ = protocol.WriteAnswer(w, protocol.Plain, b)
				_ = w.Flush()
			}
		})
		begin := time.Now()
		got, err := a.PIRs(t.Context(), []pir.PID{id})
		if err != nil || len(got) != 1 || string(got[id]) != string(b) {
			t.Errorf("got %v, %v", got, err)
		}
		if d := time.Since(begin); d > 2*pirNext {
			t.Errorf("it took %v, want %v for the slow peer", d, pirNext)
		}
		if foreign.Opened() > 0 {
			t.Error("a peer that does not speak the protocol was asked")
		}
		if n.Peer(liar.Key).Ready() {
			t.Error("the liar is asked again at once")
		}
	})
}

// A hint reaches connected peers, and a peer takes heads of its signers only. A sender pays for each.
func TestHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer, stranger := routingtest.Key(100), routingtest.Key(101)
		_, receiver, l := start(t, signer)
		n, sender, _ := start(t)
		p := routing.NewBook().Peer(protocol.KeyOf(routingtest.Key(50)))
		var mu sync.Mutex
		var errs []error
		n.Add(func(name string, st *routingtest.Stream) {
			if name != protocol.HintProtocol {
				t.Errorf("opened %s", name)
			}
			err := receiver.ServeHint(t.Context(), st, p, routing.Requester{})
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
		head := []byte(fmt.Sprintf(`{"head":1,"signer":"%s"}`, protocol.KeyOf(signer)))
		for _, h := range [][]byte{head, []byte(fmt.Sprintf(`{"head":1,"signer":"%s"}`, protocol.KeyOf(stranger))), []byte("none")} {
			sender.Tell(t.Context(), h)
			synctest.Wait()
		}
		if len(l.heads) != 1 || string(l.heads[0]) != string(head) {
			t.Errorf("learned %q, want the signer's head", l.heads)
		}
		mu.Lock()
		if len(errs) != 3 || errs[0] != nil || errs[1] != nil || !errors.Is(errs[2], routing.ErrLied) || p.Ready() {
			t.Errorf("got %v", errs)
		}
		mu.Unlock()
		begin := time.Now()
		for range routing.AskBurst / hintCost { // what the three have left, and as much again
			sender.Tell(t.Context(), head)
		}
		if d := time.Since(begin); d < 2*hintCost*time.Second/routing.AskRate {
			t.Errorf("a flood of hints was taken within %v", d)
		}
	})
}
