package swarm

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/routing/routingtest"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// hostile makes a node answer a protocol as it likes.
func hostile(s *Swarm, name string, answer func(st network.Stream, r *bufio.Reader, w *bufio.Writer)) {
	hostOf(s).SetStreamHandler(wireID(name), func(st network.Stream) {
		answer(st, bufio.NewReader(st), bufio.NewWriter(st))
		st.Close()
	})
}

// both connects a to two other nodes, one of which is hostile and answers first.
func both(t *testing.T, sim *simulation, a, bad, good *Swarm) {
	t.Helper()
	connect(t, a, bad)
	connect(t, a, good)
	peerOf(a, bad).Answered(time.Millisecond)
	peerOf(a, good).Answered(2 * roundTrip)
}

func bytesOf(s, from *Swarm) int64 {
	received, _ := peerOf(s, from).Traffic()
	return received
}

// Case 1: wrong bytes, wherever they are, cost a leaf and the peer. The right leaves before them are kept.
func TestWrongBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes minutes with the race detector; TestWrongBytesFast is its short form")
	}
	const size, leaf = 24 << 20, 1 << 20
	// Packets are lost in this net. Then the bytes behind a lost packet, of one round trip, arrive together with the leaf.
	const behind = 100 * mbit / 8 * int64(roundTrip) / int64(time.Second)
	for name, c := range map[string]struct {
		from int32 // which of the leaves that it sends is the first wrong one
		at   int   // which byte of it
		all  bool  // and all after it
	}{
		"first":       {1, 0, true},
		"middle":      {6, leaf / 2, true},
		"last":        {11, leaf - 1, true},
		"one of many": {6, leaf - 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, sim *simulation) {
				honest, liar, here := newMemory(), newMemory(), newMemory()
				root := honest.tree(t, 1, size)
				liar.tree(t, 1, size)
				var given, lies atomic.Int32
				liar.give = func(_ context.Context, id cid.CID, b []byte, _ routing.Requester) ([]byte, error) {
					if b == nil {
						return nil, fs.ErrNotExist
					}
					if id.Codec() == cid.Raw {
						if n := given.Add(1); n == c.from || c.all && n > c.from {
							b = append([]byte{}, b...)
							b[c.at] ^= 1
							lies.Add(1)
						}
					}
					return b, nil
				}
				a, _ := sim.node(here, 200*mbit, nil)
				bad, _ := sim.node(liar, 100*mbit, nil)
				good, _ := sim.node(honest, 20*mbit, nil)
				both(t, sim, a, bad, good)
				if err := a.Fetch(t.Context(), root, size, nil); err != nil {
					t.Fatal(err)
				}
				if !here.has(root) {
					t.Error("it is not here")
				}
				if lies.Load() == 0 {
					t.Fatal("nobody lied")
				}
				right, got := int64(c.from-1)*leaf, bytesOf(a, bad)
				if wasted := got - right; wasted > leaf+leaf/16+behind {
					t.Errorf("%d bytes of the liar were thrown away, want a leaf", wasted)
				}
				// The right leaves arrived once, except one that both were asked for at the end.
				if got := bytesOf(a, good); got > size-right+leaf+leaf/16 {
					t.Errorf("%d bytes came from the other, want the %d that were wrong or not asked for of the liar", got, size-right)
				}
				if m := peerOf(a, bad); m.Ready() {
					t.Error("the liar is asked again at once")
				}
			})
		})
	}
}

// Over sockets, as fast as they go, a liar costs a leaf as well, however much is in flight from it.
func TestWrongBytesFast(t *testing.T) {
	const size, leaf = 64 << 20, 1 << 20
	for _, from := range []int32{1, 6, 30} {
		liar, here := newMemory(), newMemory()
		root := liar.tree(t, 1, size)
		var given atomic.Int32
		liar.give = func(_ context.Context, c cid.CID, b []byte, _ routing.Requester) ([]byte, error) {
			if c.Codec() == cid.Raw && b != nil && given.Add(1) >= from {
				b = append([]byte{}, b...)
				b[0] ^= 1
			}
			return b, nil
		}
		a, bad := start(t, 1, here, nil), start(t, 2, liar, nil)
		connect(t, a, bad)
		if err := a.Fetch(t.Context(), root, size, nil); protocol.CodeOf(err) != protocol.Unavailable {
			t.Errorf("got %v", err)
		}
		if wasted := bytesOf(a, bad) - int64(from-1)*leaf; wasted > leaf+leaf/16 {
			t.Errorf("%d bytes were thrown away, want a leaf at most", wasted)
		}
		if kept := here.puts; kept < int(from) { // and the node above them
			t.Errorf("%d blocks are kept, want the %d that were right", kept, from)
		}
	}
}

// Case 1, without other peers: nothing of the tree is visible.
func TestWrongBytesAlone(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		liar, here := newMemory(), newMemory()
		root := liar.tree(t, 1, 8<<20)
		liar.give = func(_ context.Context, c cid.CID, b []byte, _ routing.Requester) ([]byte, error) {
			if c.Codec() == cid.Raw && b != nil {
				b = append([]byte{}, b...)
				b[0] ^= 1
			}
			return b, nil
		}
		a, _ := sim.node(here, 100*mbit, nil)
		bad, _ := sim.node(liar, 100*mbit, nil)
		connect(t, a, bad)
		err := a.Fetch(t.Context(), root, 8<<20, nil)
		if protocol.CodeOf(err) != protocol.Unavailable || !strings.Contains(err.Error(), root.String()) {
			t.Errorf("got %v, want an error that names the root", err)
		}
		if here.has(root) || len(here.blocks) > 0 {
			t.Error("something of it is visible")
		}
		if got := bytesOf(a, bad); got > 1<<20+1<<16 {
			t.Errorf("%d bytes were taken from the liar, want a leaf at most", got)
		}
	})
}

// Case 2: a peer that stalls, or sends a byte a second, costs no more than half of the honest time.
func TestStall(t *testing.T) {
	const size = 24 << 20
	var alone time.Duration
	for _, kind := range []string{"honest", "stall at once", "stall later", "slow", "silent", "no nodes"} {
		t.Run(kind, func(t *testing.T) {
			simulate(t, func(t *testing.T, sim *simulation) {
				honest, other, here := newMemory(), newMemory(), newMemory()
				root := honest.tree(t, 3, size/3)
				other.tree(t, 3, size/3)
				a, _ := sim.node(here, 200*mbit, nil)
				good, _ := sim.node(honest, 40*mbit, nil)
				if kind == "honest" {
					connect(t, a, good)
				} else {
					bad, _ := sim.node(other, 40*mbit, nil)
					both(t, sim, a, bad, good)
					slow(bad, other, kind)
				}
				d := took(func() {
					if err := a.Fetch(t.Context(), root, size, nil); err != nil {
						t.Error(err)
					}
				})
				t.Logf("%v, %.2f MiB/s", d, size/d.Seconds()/(1<<20))
				if kind == "honest" {
					alone = d
				} else if alone > 0 && d > alone*3/2 {
					t.Errorf("it took %v, and %v without the other peer", d, alone)
				}
			})
		})
	}
}

// slow makes a node stall.
func slow(s *Swarm, m *memory, kind string) {
	var given atomic.Int32
	hostile(s, protocol.WantProtocol, func(st network.Stream, r *bufio.Reader, w *bufio.Writer) {
		for {
			ask, items, err := protocol.ReadAsk(r)
			if err != nil {
				return
			}
			if kind == "no nodes" && ask == protocol.AskNodes {
				io.Copy(io.Discard, st)
				return
			}
			for _, item := range items {
				c, _ := cid.FromBytes(item)
				b := m.blocks[c]
				leaf := c.Codec() == cid.Raw
				switch {
				case kind == "silent" || leaf && (kind == "stall at once" || kind == "stall later" && given.Add(1) > 3):
					io.Copy(io.Discard, st)
					return
				case leaf && kind == "slow":
					w.WriteByte(byte(protocol.Plain))
					w.Write(binary.AppendUvarint(nil, uint64(len(b))))
					for i := range b {
						w.WriteByte(b[i])
						if w.Flush() != nil {
							return
						}
						time.Sleep(time.Second)
					}
				default:
					protocol.WriteAnswer(w, protocol.Plain, b)
				}
			}
			if ask == protocol.AskNodes {
				protocol.WriteAnswer(w, protocol.End, nil)
			}
			w.Flush()
		}
	})
}

// Case 3: when all providers vanish, the error names the content, nothing is visible, and a later fetch resumes.
func TestVanish(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		const size = 16 << 20
		here := newMemory()
		a, _ := sim.node(here, 100*mbit, nil)
		var root cid.CID
		var stops []func()
		for range 2 {
			m := newMemory()
			root = m.tree(t, 2, size/2)
			b, stop := sim.node(m, 20*mbit, nil)
			connect(t, a, b)
			stops = append(stops, stop)
		}
		go func() {
			time.Sleep(2 * time.Second)
			for _, stop := range stops {
				stop()
			}
		}()
		err := a.Fetch(t.Context(), root, size, nil)
		if protocol.CodeOf(err) != protocol.Unavailable || !strings.Contains(err.Error(), root.String()) {
			t.Errorf("got %v, want an error that names the root", err)
		}
		if hint := protocol.AsError(err).Hint; !strings.Contains(hint, "are in the store") {
			t.Errorf("got the hint %q, want what is here", hint)
		}
		if len(here.blocks) > 0 {
			t.Error("something of it is visible")
		}
		kept := here.puts
		m := newMemory()
		m.tree(t, 2, size/2)
		c, _ := sim.node(m, 100*mbit, nil)
		connect(t, a, c)
		if err := a.Fetch(t.Context(), root, size, nil); err != nil {
			t.Fatal(err)
		}
		if kept < 3 || bytesOf(a, c) > int64(size-(kept-4)<<20) {
			t.Errorf("%d blocks were kept, and %d bytes were fetched after that", kept, bytesOf(a, c))
		}
	})
}

// Case 4: bytes beyond the signed size are not read.
func TestEndless(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		there, here := newMemory(), newMemory()
		root := there.tree(t, 4, 1<<20)
		big := there.tree(t, 5, 1<<20)
		a, _ := sim.node(here, 100*mbit, nil)
		b, _ := sim.node(there, 100*mbit, nil)
		connect(t, a, b)
		err := a.Fetch(t.Context(), big, 5<<20-1, nil)
		if protocol.CodeOf(err) != protocol.Mismatch {
			t.Errorf("a tree larger than was signed for: %v", err)
		}
		if got := bytesOf(a, b); got > 1<<20 {
			t.Errorf("it cost %d bytes to find out", got)
		}
		for _, length := range []uint64{1 << 63, 1<<20 + 1} {
			peerOf(b, a)
			hostile(b, protocol.WantProtocol, func(st network.Stream, r *bufio.Reader, w *bufio.Writer) {
				for {
					ask, items, err := protocol.ReadAsk(r)
					if err != nil {
						return
					}
					for _, item := range items {
						c, _ := cid.FromBytes(item)
						if c.Codec() == cid.DagPB {
							protocol.WriteAnswer(w, protocol.Plain, there.blocks[c])
							continue
						}
						w.WriteByte(byte(protocol.Plain))
						w.Write(binary.AppendUvarint(nil, length))
						for range 100 << 10 { // 100 MiB
							if _, err := w.Write(make([]byte, 1<<10)); err != nil {
								return
							}
						}
					}
					if ask == protocol.AskNodes {
						protocol.WriteAnswer(w, protocol.End, nil)
					}
					w.Flush()
				}
			})
			peerOf(a, b).Forgive()
			before := bytesOf(a, b)
			if err := a.Fetch(t.Context(), root, 4<<20, nil); protocol.CodeOf(err) != protocol.Unavailable {
				t.Errorf("an endless leaf: %v", err)
			}
			if got := bytesOf(a, b) - before; got > 1<<20 {
				t.Errorf("%d bytes of it were read", got)
			}
		}
	})
}

// Case 5: trees that are made to cost.
func TestBombs(t *testing.T) {
	there := newMemory()
	deep := there.file("x", []byte("x")).CID
	for range wantDepth + 10 {
		root, blocks, err := cid.Dir([]cid.DirEntry{{Name: "d", CID: deep, Tsize: 1}})
		if err != nil {
			t.Fatal(err)
		}
		there.add(blocks...)
		deep = root
	}
	leaf := there.file("y", []byte("y")).CID
	var dirs []cid.DirEntry
	for i := range 80 {
		var entries []cid.DirEntry
		for n := range 9000 {
			entries = append(entries, cid.DirEntry{Name: fmt.Sprintf("%050d", i*10_000+n), CID: leaf, Tsize: 1})
		}
		root, blocks, err := cid.Dir(entries)
		if err != nil {
			t.Fatal(err)
		}
		there.add(blocks...)
		dirs = append(dirs, cid.DirEntry{Name: fmt.Sprint(i), CID: root, Tsize: 1})
	}
	wide, blocks, err := cid.Dir(dirs)
	if err != nil {
		t.Fatal(err)
	}
	there.add(blocks...)
	malformed := cid.Sum(cid.DagPB, []byte("\x0a\xff\xff\xff\xff\x0f"))
	there.add(cid.Block{CID: malformed, Data: []byte("\x0a\xff\xff\xff\xff\x0f")})
	here := newMemory()
	a, b := start(t, 1, here, nil), start(t, 2, there, nil)
	connect(t, a, b)
	for name, c := range map[string]struct {
		root cid.CID
		code protocol.Code
	}{"deep": {deep, protocol.Exhausted}, "wide": {wide, protocol.Exhausted}, "malformed": {malformed, protocol.Invalid}} {
		before := bytesOf(a, b)
		begin := time.Now()
		err := a.Fetch(t.Context(), c.root, 1000, nil)
		if protocol.CodeOf(err) != c.code || here.has(c.root) {
			t.Errorf("%s: got %v, want %s", name, err, c.code)
		}
		t.Logf("%s: %d bytes, %v", name, bytesOf(a, b)-before, time.Since(begin))
	}
}

// Case 9: statements of untrusted keys are dropped unread, and an answer with too many is refused.
func TestStatementFlood(t *testing.T) {
	signer := key(7)
	ids := routingtest.PIDs(20)
	there := newMemory()
	there.say(t, signer, ids...)
	stranger := newMemory()
	for n := range 200 {
		stranger.say(t, key(byte(20+n)), ids...)
	}
	var lines []byte
	for _, id := range ids {
		for _, b := range stranger.statements[id] {
			lines = append(append(lines, b...), '\n')
		}
	}
	here := newMemory()
	signers := func(o *Options) { o.Signers = func() []protocol.Key { return []protocol.Key{protocol.KeyOf(signer)} } }
	a, good := start(t, 1, here, signers), start(t, 2, there, nil)
	connect(t, a, good)
	var bad []*Swarm
	for n := range 3 {
		b := start(t, byte(3+n), newMemory(), nil)
		hostile(b, protocol.AttProtocol, func(st network.Stream, r *bufio.Reader, w *bufio.Writer) {
			for range [4]int{} {
				for part := lines; n > 0 && len(part) > 0; { // n = 0: says nothing wrong, but much
					at := strings.LastIndexByte(string(part[:min(len(part), 1<<20)]), '\n') + 1
					if protocol.WriteAnswer(w, protocol.Plain, part[:at]) != nil {
						return
					}
					part = part[at:]
				}
				if n == 0 {
					protocol.WriteAnswer(w, protocol.Plain, lines[:strings.LastIndexByte(string(lines[:1<<20]), '\n')+1])
				}
			}
			protocol.WriteAnswer(w, protocol.End, nil)
			protocol.WriteAnswer(w, protocol.End, nil)
			w.Flush()
		})
		connect(t, a, b)
		bad = append(bad, b)
	}
	said, err := a.Statements(t.Context(), ids)
	if err != nil || len(said) != len(ids) {
		t.Errorf("got %d statements, %v; want those of the signer", len(said), err)
	}
	for _, s := range said {
		if s.Signer != protocol.KeyOf(signer) {
			t.Errorf("a statement of %s is taken", s.Signer)
		}
	}
	for i, b := range bad {
		if got, most := bytesOf(a, b), int64(protocol.MaxAnswer(len(ids))+protocol.MaxLines); got > most {
			t.Errorf("peer %d: %d bytes were read, at most %d are of an answer", i, got, most)
		}
		if i > 0 && peerOf(a, b).Ready() {
			t.Errorf("peer %d is asked again at once", i)
		}
	}
	// A statement of a signer that counts needs a valid signature.
	forger := start(t, 9, newMemory(), nil)
	hostile(forger, protocol.AttProtocol, func(st network.Stream, r *bufio.Reader, w *bufio.Writer) {
		b := append([]byte{}, there.statements[ids[0]][0]...)
		b[len(`{"attestation":1,"cid":"bafkr4i`)+5] ^= 1
		protocol.WriteAnswer(w, protocol.Plain, append(b, '\n'))
		protocol.WriteAnswer(w, protocol.End, nil)
		w.Flush()
	})
	connect(t, a, forger)
	if said, err := a.Statements(t.Context(), ids[:1]); err != nil || len(said) != 1 || said[0].CID != cid.Sum(cid.Raw, ids[0][:]) {
		t.Errorf("with a forger: %v, %v", said, err)
	}
	if peerOf(a, forger).Ready() {
		t.Error("the forger is asked again at once")
	}
}

// A peer that asks for more than its share waits; other peers do not.
func TestAskFlood(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		there := newMemory()
		signer := key(7)
		ids := routingtest.PIDs(protocol.MaxAsked)
		there.say(t, signer, ids[0])
		b, _ := sim.node(there, 1000*mbit, nil)
		greedy, _ := sim.node(newMemory(), 1000*mbit, nil)
		connect(t, greedy, b)
		var items [][]byte
		for _, id := range ids {
			items = append(items, id[:])
		}
		st, err := greedy.host.Open(t.Context(), peerOf(greedy, b), protocol.AttProtocol)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Reset(0)
		const asks = 100
		go func() {
			for range asks {
				if protocol.WriteAsk(st, protocol.AskStatements, items) != nil {
					return
				}
			}
		}()
		r := bufio.NewReader(st)
		d := took(func() {
			for range asks {
				for e := protocol.Plain; e != protocol.End; {
					var err error
					if e, _, err = protocol.ReadAnswer(r, nil, protocol.MaxLines); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
		if least := time.Duration(asks*protocol.MaxAsked-wantAskBurst) * time.Second / wantAskRate; d < least {
			t.Errorf("%d requests were answered within %v, want %v at least", asks, d, least)
		}
		honest, _ := sim.node(newMemory(), 1000*mbit, func(o *Options) {
			o.Signers = func() []protocol.Key { return []protocol.Key{protocol.KeyOf(signer)} }
		})
		connect(t, honest, b)
		var said []protocol.Attestation
		if d := took(func() { said, err = honest.Statements(t.Context(), ids[:1]) }); d > 4*roundTrip || len(said) != 1 {
			t.Errorf("another peer got %d statements, %v, after %v", len(said), err, d)
		}
	})
}

// Case 14: streams and connections without end leave an honest peer its share.
func TestStreamFlood(t *testing.T) {
	there := newMemory()
	root := there.tree(t, 20, 1000)
	b := start(t, 2, there, func(o *Options) { o.Connections = 20 })
	flood := start(t, 3, newMemory(), nil)
	connect(t, flood, b)
	opened := 0
	for range 2000 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		st, err := hostOf(flood).NewStream(network.WithNoDial(ctx, "test"), hostOf(b).ID(), wireID(protocol.WantProtocol))
		if err == nil {
			if _, err = st.Write([]byte{byte(protocol.AskBlocks)}); err == nil {
				opened++
			}
		}
		cancel()
	}
	until(t, "an end of the flood's streams", func() bool {
		n := 0
		for _, c := range hostOf(b).Network().ConnsToPeer(hostOf(flood).ID()) {
			for _, st := range c.GetStreams() {
				if st.Protocol() == wireID(protocol.WantProtocol) {
					n++
				}
			}
		}
		return n <= wantPeerStreams
	})
	var many []*Swarm
	for n := range 40 {
		c := start(t, byte(10+n), newMemory(), nil)
		ticket := &protocol.Ticket{Node: b.host.Key(), Addresses: b.Addresses()}
		if c.Connect(t.Context(), ticket.String()) == nil {
			many = append(many, c)
		}
	}
	if n := len(hostOf(b).Network().Peers()); n > 20+20/4+8 {
		t.Errorf("%d peers are connected, of 20", n)
	}
	t.Logf("%d streams and %d connections of those that want too much", opened, len(many))
	here := newMemory()
	a := start(t, 1, here, nil)
	until(t, "a connection of an honest peer", func() bool {
		ticket := &protocol.Ticket{Node: b.host.Key(), Addresses: b.Addresses()}
		err := a.Connect(t.Context(), ticket.String())
		if err == nil {
			err = a.Fetch(t.Context(), root, 0, nil)
		}
		if err != nil {
			time.Sleep(100 * time.Millisecond)
		}
		return err == nil
	})
}

// Case 15: without a network nothing is waited for.
func TestCablePulled(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		here := newMemory()
		a, _ := sim.node(here, 100*mbit, func(o *Options) {
			o.Signers = func() []protocol.Key { return []protocol.Key{protocol.KeyOf(key(7))} }
			o.Bootstrap = []string{"/ip4/1.2.3.4/udp/1/quic-v1/p2p/" + idText(t, key(200))}
		})
		d := took(func() {
			if said, err := a.Statements(t.Context(), routingtest.PIDs(400)); err != nil || len(said) > 0 {
				t.Errorf("got %v, %v", said, err)
			}
			if err := a.Fetch(t.Context(), newMemory().tree(t, 2, 2), 0, nil); protocol.CodeOf(err) != protocol.Unavailable {
				t.Errorf("got %v", err)
			}
			a.Announce(pir.Sum([]byte("x")))
			a.Status()
			a.Peers()
		})
		if d > wantTick {
			t.Errorf("it took %v", d)
		}
	})
}

// The streams of finished requests do not count against a peer.
func TestStreamsGivenBack(t *testing.T) {
	there := newMemory()
	root := there.tree(t, 3, 3)
	a, b := start(t, 1, newMemory(), nil), start(t, 2, there, nil)
	connect(t, a, b)
	for n := range 4 * wantPeerStreams {
		st, err := a.host.Open(t.Context(), peerOf(a, b), protocol.WantProtocol)
		if err != nil {
			t.Fatalf("stream %d: %v", n, err)
		}
		if err := protocol.WriteAsk(st, protocol.AskBlocks, [][]byte{root.Bytes()}); err != nil {
			t.Fatalf("stream %d: %v", n, err)
		}
		if _, _, err := protocol.ReadAnswer(bufio.NewReader(st), nil, protocol.MaxBlock); err != nil {
			t.Fatalf("stream %d: %v", n, err)
		}
		st.Reset(0)
	}
}
