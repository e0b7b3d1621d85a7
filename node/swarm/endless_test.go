package swarm

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/marcopolo/simnet"

	"github.com/MordragT/nuka/node/swarm/routing/routingtest"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A liar is a provider that sends the root when it is probed, and something else for nodes or leaves.
type liar struct {
	m *memory
	// nodes and leaves answer one request; nil answers honestly. false ends the stream.
	nodes, leaves func(st network.Stream, items [][]byte, w *bufio.Writer) bool
}

func (l *liar) serve(s *Swarm, root cid.CID) {
	hostile(s, protocol.WantProtocol, func(st network.Stream, r *bufio.Reader, w *bufio.Writer) {
		for {
			kind, items, err := protocol.ReadAsk(r)
			if err != nil {
				return
			}
			first, err := cid.FromBytes(items[0])
			if err != nil {
				return
			}
			switch {
			case kind == protocol.AskNodes && l.nodes != nil:
				if !l.nodes(st, items, w) {
					return
				}
			case first != root && (kind == protocol.AskBlocks || kind == protocol.AskSmall) && l.leaves != nil:
				if !l.leaves(st, items, w) {
					return
				}
			case kind == protocol.AskParts:
				protocol.WriteAnswer(w, protocol.Missing, nil)
			default:
				if err := l.m.honest(kind, items, w); err != nil {
					return
				}
			}
			if w.Flush() != nil {
				return
			}
		}
	})
}

// honest answers one request as an honest peer does that has the tree.
func (m *memory) honest(kind protocol.Ask, items [][]byte, w *bufio.Writer) error {
	sent := map[cid.CID]bool{}
	for _, item := range items {
		root, err := cid.FromBytes(item)
		if err != nil {
			return err
		}
		if kind != protocol.AskNodes {
			e, b := protocol.Plain, m.blocks[root]
			if b == nil {
				e = protocol.Missing
			}
			if err := protocol.WriteAnswer(w, e, b); err != nil {
				return err
			}
			continue
		}
		for queue := []cid.CID{root}; len(queue) > 0; queue = queue[1:] {
			c := queue[0]
			if c.Codec() != cid.DagPB || sent[c] {
				continue
			}
			sent[c] = true
			if err := protocol.WriteAnswer(w, protocol.Plain, m.blocks[c]); err != nil {
				return err
			}
			n, err := cid.Decode(m.blocks[c])
			if err != nil {
				return err
			}
			for _, l := range n.Links {
				queue = append(queue, l.CID)
			}
		}
		if err := protocol.WriteAnswer(w, protocol.End, nil); err != nil {
			return err
		}
	}
	return nil
}

// slowly writes something again and again, with a pause in between.
func slowly(every time.Duration, write func(w *bufio.Writer) error) func(network.Stream, [][]byte, *bufio.Writer) bool {
	return func(_ network.Stream, _ [][]byte, w *bufio.Writer) bool {
		for write(w) == nil && w.Flush() == nil {
			time.Sleep(every)
		}
		return false
	}
}

// One peer that claims to have a tree cannot keep the fetch alive: the fetch ends, so that the package is built. Beside an honest peer it
// does not matter.
func TestEndlessPeer(t *testing.T) {
	const files, size = 40, 64 << 10
	var there *memory
	var root cid.CID
	missing := func(w *bufio.Writer) error { return protocol.WriteAnswer(w, protocol.Missing, nil) }
	// A tree with many folders, of which a liar sends one node at a time.
	many := func(t *testing.T, m *memory) cid.CID {
		var entries []cid.DirEntry
		for i := range 200 {
			file := m.file("f", fmt.Append(nil, "file ", i))
			dir, blocks, err := cid.Dir([]cid.DirEntry{file})
			if err != nil {
				t.Fatal(err)
			}
			m.add(blocks...)
			entries = append(entries, cid.DirEntry{Name: fmt.Sprintf("d%03d", i), CID: dir, Tsize: 10})
		}
		dir, blocks, err := cid.Dir(entries)
		if err != nil {
			t.Fatal(err)
		}
		m.add(blocks...)
		return dir
	}
	byteEachSecond := func(head ...byte) func(network.Stream, [][]byte, *bufio.Writer) bool {
		return func(_ network.Stream, _ [][]byte, w *bufio.Writer) bool {
			w.Write(head)
			for w.WriteByte('x') == nil && w.Flush() == nil {
				time.Sleep(time.Second)
			}
			return false
		}
	}
	silent := func(st network.Stream, _ [][]byte, _ *bufio.Writer) bool { io.Copy(io.Discard, st); return false }
	// neverReads takes the request and holds the stream open.
	var over chan struct{}
	neverReads := func(network.Stream, [][]byte, *bufio.Writer) bool { <-over; return false }
	for name, c := range map[string]struct {
		liar liar
		most time.Duration // in which it sends the whole tree; 0 is never
	}{
		"nodes: missing, slowly":  {liar: liar{nodes: slowly(2*time.Second, missing)}},
		"nodes: missing, quickly": {liar: liar{nodes: slowly(0, missing)}},
		"nodes: the root again": {liar: liar{nodes: slowly(0, func(w *bufio.Writer) error {
			return protocol.WriteAnswer(w, protocol.Plain, there.blocks[root])
		})}},
		"nodes: others, valid": {liar: liar{nodes: slowly(0, func(w *bufio.Writer) error {
			return protocol.WriteAnswer(w, protocol.Plain, []byte{0x0a, 0x02, 0x08, 0x01})
		})}},
		"nodes: a byte a second": {liar: liar{nodes: byteEachSecond(byte(protocol.Plain), 0x80, 0x80, 0x40)}},
		"nodes: silence":         {liar: liar{nodes: silent}},
		"nodes: nothing is read": {liar: liar{nodes: neverReads}},
		"nodes: ends and no nodes": {liar: liar{nodes: func(_ network.Stream, items [][]byte, w *bufio.Writer) bool {
			for range items {
				protocol.WriteAnswer(w, protocol.End, nil)
			}
			return true
		}}},
		"nodes: one, and silence": {liar: liar{nodes: func(st network.Stream, items [][]byte, w *bufio.Writer) bool {
			time.Sleep(15 * time.Second)
			id, _ := cid.FromBytes(items[0])
			protocol.WriteAnswer(w, protocol.Plain, there.blocks[id])
			w.Flush()
			return silent(st, items, w)
		}}},
		"leaves: missing, slowly": {liar: liar{leaves: slowly(10*time.Second, missing)}},
		"leaves: missing, each": {liar: liar{leaves: func(_ network.Stream, items [][]byte, w *bufio.Writer) bool {
			for range items {
				missing(w)
			}
			return true
		}}},
		"leaves: a byte a second": {liar: liar{leaves: byteEachSecond(byte(protocol.Plain), 0x80, 0x80, 0x04)}},
		"leaves: silence":         {liar: liar{leaves: silent}},
		"leaves: one, and hangs up": {most: wantPaceEvery * files * size / wantPaceBytes, liar: liar{leaves: func(_ network.Stream, items [][]byte, w *bufio.Writer) bool {
			time.Sleep(50 * time.Second)
			c, _ := cid.FromBytes(items[0])
			protocol.WriteAnswer(w, protocol.Plain, there.blocks[c])
			w.Flush()
			return false
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, sim *simulation) {
				over = make(chan struct{})
				defer close(over)
				here := newMemory()
				there = newMemory()
				if c.liar.nodes != nil {
					root = many(t, there)
				} else {
					root = there.tree(t, files, size)
				}
				a, _ := sim.node(here, 100*mbit, nil)
				bad, _ := sim.node(there, 100*mbit, nil)
				c.liar.m = there
				c.liar.serve(bad, root)
				connect(t, a, bad)
				ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
				defer cancel()
				var err error
				d := took(func() { err = a.Fetch(ctx, root, 0, nil) })
				t.Logf("alone: %v, %d bytes: %v", d, bytesOf(a, bad), err)
				// A tree that a peer sends faster than wantPaceBytes in wantPaceEvery arrives in the end.
				if c.most > 0 && (err != nil || d > c.most) {
					t.Errorf("it took %v, %v", d, err)
				}
				if c.most == 0 && (protocol.CodeOf(err) != protocol.Unavailable || d > 3*wantPaceEvery) {
					t.Errorf("it ended after %v with %v", d, err)
				}
				if got := bytesOf(a, bad); got > 8<<20 {
					t.Errorf("%d bytes were taken from the liar", got)
				}
				peerOf(a, bad).Forgive()
				good, _ := sim.node(there, 100*mbit, nil)
				both(t, sim, a, bad, good)
				d = took(func() { err = a.Fetch(ctx, root, 0, nil) })
				t.Logf("beside an honest peer: %v", d)
				if err != nil || d > time.Minute {
					t.Errorf("beside an honest peer: %v, after %v", err, d)
				}
			})
		})
	}
}

// A slow and distant peer is no liar: at 20 kB/s and 500 ms it sends a tree with a large node and large leaves, and statements.
func TestSlowHonest(t *testing.T) {
	for name, liars := range map[string]bool{"alone": false, "beside liars": true} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, sim *simulation) {
				sim.net.LatencyFunc = simnet.StaticLatency(250 * time.Millisecond)
				there, here := newMemory(), newMemory()
				var entries []cid.DirEntry
				for i := range 6000 { // a node of 750 kB, for 38 seconds
					entries = append(entries, cid.DirEntry{Name: fmt.Sprintf("%080d", i), CID: there.file("x", []byte("x")).CID, Tsize: 1})
				}
				dir, blocks, err := cid.Dir(entries)
				if err != nil {
					t.Fatal(err)
				}
				there.add(blocks...)
				data := make([]byte, 2<<20)
				rand.NewChaCha8([32]byte{}).Read(data)
				root, blocks, err := cid.Dir([]cid.DirEntry{there.file("big", data), {Name: "dir", CID: dir, Tsize: 1}})
				if err != nil {
					t.Fatal(err)
				}
				there.add(blocks...)
				ids := routingtest.PIDs(400)
				there.say(t, key(7), ids...)
				a, _ := sim.node(here, 100*mbit, func(o *Options) {
					o.Signers = func() []protocol.Key { return []protocol.Key{protocol.KeyOf(key(7))} }
				})
				slow, _ := sim.node(there, 160_000, nil)
				connect(t, a, slow)
				for range 3 {
					if !liars {
						break
					}
					other := newMemory()
					maps.Copy(other.blocks, there.blocks)
					bad, _ := sim.node(other, 100*mbit, nil)
					(&liar{m: there, nodes: slowly(0, func(w *bufio.Writer) error { return protocol.WriteAnswer(w, protocol.Plain, there.blocks[root]) })}).serve(bad, root)
					connect(t, a, bad)
					peerOf(a, bad).Answered(time.Millisecond)
				}
				var said []protocol.Attestation
				d := took(func() { said, err = a.Statements(t.Context(), ids) })
				if err != nil || len(said) != len(ids) {
					t.Errorf("got %d statements, %v", len(said), err)
				}
				t.Logf("%d statements: %v", len(said), d)
				d = took(func() { err = a.Fetch(t.Context(), root, 0, nil) })
				t.Logf("%d bytes in %v", bytesOf(a, slow), d)
				if err != nil || !here.has(root) {
					t.Error(err)
				}
			})
		})
	}
}
