package swarm

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/MordragT/nuka/node/swarm/routing/routingtest"
	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// describe stores a PIR with an incompressible closure of so many bytes, and returns its PID.
func (m *memory) describe(t testing.TB, name string, size int) pir.PID {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(size), uint64(len(name))))
	text := make([]byte, size)
	for i := range text {
		text[i] = byte('!' + r.IntN(90))
	}
	p := &pir.PIR{Kind: pir.Build, Name: name, Build: nuon.Record{"nu": string(bytes.ReplaceAll(text, []byte{'"'}, []byte{'x'})), "captures": nuon.Record{}}}
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	id := pir.Sum(b)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pirs[id] = b
	return id
}

func TestPIRs(t *testing.T) {
	one, other := newMemory(), newMemory()
	var ids []pir.PID
	for n := range 100 { // two requests
		ids = append(ids, []*memory{one, other}[n%2].describe(t, fmt.Sprint("p", n), 100+n))
	}
	for n := range 4 { // more than one answer may have
		ids = append(ids, one.describe(t, fmt.Sprint("large", n), 3<<20+n))
	}
	for n := range 300 { // of every size at which an encoding may change
		b, err := (&pir.PIR{Kind: pir.Data, Name: "short", Data: strings.Repeat("x", n)}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		one.pirs[pir.Sum(b)] = b
		ids = append(ids, pir.Sum(b))
	}
	a := start(t, 1, newMemory(), nil)
	connect(t, a, start(t, 2, one, nil))
	connect(t, a, start(t, 3, other, nil))
	unknown := pir.Sum([]byte("unknown"))
	got, err := a.PIRs(t.Context(), append(ids, unknown))
	if err != nil || len(got) != len(ids) {
		t.Fatalf("got %d PIRs, %v; want %d", len(got), err, len(ids))
	}
	for id, b := range got {
		if pir.Sum(b) != id {
			t.Errorf("%s has other bytes", id)
		}
	}
}

// A node without this protocol and one with it share a package both ways, and neither blames the other.
func TestPIRsOldNode(t *testing.T) {
	one, other := newMemory(), newMemory()
	signed := func(o *Options) { o.Signers = func() []protocol.Key { return []protocol.Key{protocol.KeyOf(key(7))} } }
	a, old := start(t, 1, one, signed), start(t, 2, other, signed)
	hostOf(old).RemoveStreamHandler(wireID(protocol.PIRProtocol))
	connect(t, a, old)
	for from, to := range map[*Swarm]*Swarm{a: old, old: a} {
		m := map[*Swarm]*memory{a: one, old: other}[from]
		root, id := m.tree(t, 3, 1000+len(from.ID())), routingtest.PIDs(1)[0]
		m.say(t, key(7), id)
		if said, err := to.Statements(t.Context(), []pir.PID{id}); err != nil || len(said) != 1 {
			t.Errorf("statements: %v, %v", said, err)
		}
		if err := to.Fetch(t.Context(), root, 0, nil); err != nil {
			t.Error(err)
		}
	}
	begin := time.Now()
	if got, err := a.PIRs(t.Context(), routingtest.PIDs(3)); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("to learn that an old node knows no PIRs took %v", d)
	}
	if !peerOf(a, old).Ready() {
		t.Error("the old node is left alone")
	}
}

// Peers that lie about PIRs, never end or stay silent cost little; an honest slow one is heard.
func TestPIRsHostile(t *testing.T) {
	for name, answer := range map[string]func(st network.Stream, ids []pir.PID, w *bufio.Writer){
		"another PIR": func(_ network.Stream, ids []pir.PID, w *bufio.Writer) {
			for range ids {
				protocol.WriteAnswer(w, protocol.Plain, []byte(`{"kind":"data"}`))
			}
		},
		"silent": func(st network.Stream, _ []pir.PID, _ *bufio.Writer) { io.Copy(io.Discard, st) },
		"a byte a second": func(_ network.Stream, _ []pir.PID, w *bufio.Writer) {
			w.Write([]byte{byte(protocol.Plain), 0x80, 0x80, 0x40})
			for w.WriteByte('x') == nil && w.Flush() == nil {
				time.Sleep(time.Second)
			}
		},
		"at the least rate": func(_ network.Stream, _ []pir.PID, w *bufio.Writer) {
			w.Write([]byte{byte(protocol.Plain), 0x80, 0x80, 0x80, 0x02})
			for range pir.MaxSize / wantPIRRate {
				if _, err := w.Write(make([]byte, wantPIRRate)); err != nil || w.Flush() != nil {
					return
				}
				time.Sleep(900 * time.Millisecond)
			}
		},
		"no end of missing": func(_ network.Stream, _ []pir.PID, w *bufio.Writer) {
			for protocol.WriteAnswer(w, protocol.Missing, nil) == nil && w.Flush() == nil {
				time.Sleep(100 * time.Millisecond)
			}
		},
		"cut again and again": func(_ network.Stream, _ []pir.PID, w *bufio.Writer) { protocol.WriteAnswer(w, protocol.End, nil) },
		"too long": func(_ network.Stream, _ []pir.PID, w *bufio.Writer) {
			protocol.WriteAnswer(w, protocol.Plain, make([]byte, pir.MaxSize+1))
		},
		"a bomb": func(_ network.Stream, _ []pir.PID, w *bufio.Writer) {
			z, _ := wire.NewCodec()
			_, bomb, _ := z.Compress(make([]byte, 100<<20), nil)
			protocol.WriteAnswer(w, protocol.Zstd, bomb)
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, sim *simulation) {
				honest := newMemory()
				id := honest.describe(t, "lib", 60_000)
				a, _ := sim.node(newMemory(), 100*mbit, nil)
				bad, _ := sim.node(newMemory(), 100*mbit, nil)
				good, _ := sim.node(honest, 160_000, nil) // 20 kB/s
				var asked atomic.Int32
				hostile(bad, protocol.PIRProtocol, func(st network.Stream, r *bufio.Reader, w *bufio.Writer) {
					for {
						kind, items, err := protocol.ReadAsk(r)
						if err != nil || kind != protocol.AskPIRs || asked.Add(1) > 100 {
							return
						}
						ids := make([]pir.PID, len(items))
						for i, item := range items {
							ids[i] = pir.PID(item)
						}
						answer(st, ids, w)
						w.Flush()
					}
				})
				connect(t, a, bad)
				d := took(func() {
					if got, err := a.PIRs(t.Context(), []pir.PID{id, routingtest.PIDs(1)[0]}); err != nil || len(got) > 0 {
						t.Errorf("from the liar alone: %v, %v", got, err)
					}
				})
				most := wantAskTimeout + time.Second
				if name == "at the least rate" {
					most = wantPIRTimeout
				}
				if d > most {
					t.Errorf("the liar alone held it up for %v", d)
				}
				if got := bytesOf(a, bad); got > pir.MaxSize+1<<20 {
					t.Errorf("%d bytes were taken from the liar", got)
				}
				if n := asked.Load(); n > 2 {
					t.Errorf("the liar was asked %d times", n)
				}
				peerOf(a, bad).Forgive()
				both(t, sim, a, bad, good)
				d = took(func() {
					if got, err := a.PIRs(t.Context(), []pir.PID{id}); err != nil || len(got) != 1 {
						t.Errorf("beside an honest peer: %d PIRs, %v", len(got), err)
					}
				})
				t.Logf("beside an honest peer: %v", d)
			})
		})
	}
}
