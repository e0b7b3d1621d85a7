package swarm

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	blocks "github.com/ipfs/go-block-format"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	p2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/marcopolo/simnet"

	"github.com/MordragT/nuka/node/swarm/routing/routingtest"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// Whatever a peer does with a request for statements, the call ends and returns the statements of other peers.
func TestEndlessStatements(t *testing.T) {
	ids := routingtest.PIDs(40)
	signer, stranger := newMemory(), newMemory()
	signer.say(t, key(7), ids...)
	stranger.say(t, key(8), ids...)
	lines := func(m *memory) []byte {
		var all []byte
		for _, id := range ids {
			all = append(append(all, m.statements[id][0]...), '\n')
		}
		return all
	}
	var over chan struct{}
	for name, answer := range map[string]func(st network.Stream, w *bufio.Writer){
		"silence": func(network.Stream, *bufio.Writer) { <-over },
		"byte a second": func(st network.Stream, w *bufio.Writer) {
			w.Write([]byte{1, 0x80, 0x80, 0x40})
			slowly(time.Second, func(w *bufio.Writer) error { return w.WriteByte('x') })(st, nil, w)
		},
		"of strangers, again and again": func(st network.Stream, w *bufio.Writer) {
			slowly(100*time.Millisecond, func(w *bufio.Writer) error { return protocol.WriteAnswer(w, protocol.Plain, lines(stranger)) })(st, nil, w)
		},
		"the same again and again": func(st network.Stream, w *bufio.Writer) {
			slowly(100*time.Millisecond, func(w *bufio.Writer) error { return protocol.WriteAnswer(w, protocol.Plain, lines(signer)) })(st, nil, w)
		},
		"one every two seconds": func(_ network.Stream, w *bufio.Writer) {
			for _, id := range ids {
				protocol.WriteAnswer(w, protocol.Plain, append(slices.Clone(signer.statements[id][0]), '\n'))
				if w.Flush() != nil {
					return
				}
				time.Sleep(2 * time.Second)
			}
		},
		"empty answers": func(st network.Stream, w *bufio.Writer) {
			slowly(10*time.Millisecond, func(w *bufio.Writer) error { return protocol.WriteAnswer(w, protocol.Plain, nil) })(st, nil, w)
		},
		"no heads": func(_ network.Stream, w *bufio.Writer) {
			protocol.WriteAnswer(w, protocol.Plain, lines(signer))
			protocol.WriteAnswer(w, protocol.End, nil)
			w.Flush()
			<-over
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, sim *simulation) {
				over = make(chan struct{})
				defer close(over)
				a, _ := sim.node(newMemory(), 100*mbit, func(o *Options) {
					o.Signers = func() []protocol.Key { return []protocol.Key{protocol.KeyOf(key(7))} }
				})
				bad, _ := sim.node(newMemory(), 100*mbit, nil)
				hostile(bad, protocol.AttProtocol, func(st network.Stream, _ *bufio.Reader, w *bufio.Writer) { answer(st, w) })
				good, _ := sim.node(signer, 100*mbit, nil)
				both(t, sim, a, bad, good)
				var said []protocol.Attestation
				var err error
				d := took(func() { said, err = a.Statements(t.Context(), ids) })
				t.Logf("%v, %d bytes from the liar", d, bytesOf(a, bad))
				if err != nil || len(said) != len(ids) {
					t.Errorf("got %d statements, %v", len(said), err)
				}
				if most := wantAskTimeout + wantCredit*time.Second/wantSayRate + time.Second; d > most {
					t.Errorf("it took %v, want %v at most", d, most)
				}
				if got := bytesOf(a, bad); got > int64(protocol.MaxAnswer(len(ids))) {
					t.Errorf("%d bytes were taken from the liar", got)
				}
			})
		})
	}
}

// A Bitswap-only peer that does not send what it is asked for is lost in the end.
func TestEndlessBitswap(t *testing.T) {
	for name, says := range map[string]func(ctx context.Context, s *Swarm, to peer.ID, there *memory){
		"silence": func(context.Context, *Swarm, peer.ID, *memory) {},
		"it does not have, slowly": func(ctx context.Context, s *Swarm, to peer.ID, there *memory) {
			for n := 0; ctx.Err() == nil; n++ {
				for _, b := range there.sorted() {
					msg := message.New(false)
					if blk, err := blocks.NewBlockWithCid(b.Data, toIPFS(b.CID)); err == nil && b.CID.Codec() == cid.DagPB {
						msg.AddBlock(blk)
					} else if msg.AddDontHave(toIPFS(b.CID)); n > 0 {
						time.Sleep(10 * time.Second)
					}
					if ctx.Err() != nil {
						return
					}
					sendBitswap(ctx, s, to, msg)
				}
			}
		},
		"others' blocks": func(ctx context.Context, s *Swarm, to peer.ID, _ *memory) {
			blk := blocks.NewBlock([]byte("nobody wants it"))
			for ctx.Err() == nil {
				msg := message.New(false)
				msg.AddBlock(blk)
				sendBitswap(ctx, s, to, msg)
				time.Sleep(time.Second)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, sim *simulation) {
				there := newMemory()
				root := there.tree(t, 200, 2000)
				a, _ := sim.node(newMemory(), 100*mbit, nil)
				bad, _ := sim.node(newMemory(), 100*mbit, nil)
				hostOf(bad).RemoveStreamHandler(wireID(protocol.WantProtocol))
				for _, id := range hostOf(bad).Mux().Protocols() {
					if bytes.Contains([]byte(id), []byte(bsnet.ProtocolBitswapNoVers)) {
						hostOf(bad).SetStreamHandler(id, func(st network.Stream) { io.Copy(io.Discard, st) })
					}
				}
				connect(t, a, bad)
				time.Sleep(time.Second) // until each knows what the other speaks
				ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
				go says(ctx, bad, hostOf(a).ID(), there)
				var err error
				d := took(func() { err = a.Fetch(ctx, root, 0, nil) })
				cancel()
				t.Logf("%v: %v", d, err)
				if protocol.CodeOf(err) != protocol.Unavailable || d > 3*wantPaceEvery {
					t.Errorf("it ended after %v with %v", d, err)
				}
				time.Sleep(time.Minute) // until it has noticed
			})
		})
	}
}

// sendBitswap sends a message by Bitswap.
func sendBitswap(ctx context.Context, from *Swarm, to peer.ID, msg message.BitSwapMessage) {
	for _, prefix := range []string{"", protocol.Prefix} {
		if bsnet.NewFromIpfsHost(hostOf(from), bsnet.Prefix(p2pprotocol.ID(prefix))).SendMessage(ctx, to, msg) == nil {
			return
		}
	}
}

// sorted returns all blocks, nodes first.
func (m *memory) sorted() (list []cid.Block) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c, b := range m.blocks {
		list = append(list, cid.Block{CID: c, Data: b})
	}
	slices.SortFunc(list, func(a, b cid.Block) int { return int(b.CID.Codec()) - int(a.CID.Codec()) })
	return list
}

// A leecher whose changes never end is not asked for them any more.
func TestEndlessNews(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		const size = 16 << 20
		there, here := newMemory(), newMemory()
		root := there.tree(t, 1, size)
		a, _ := sim.node(here, 100*mbit, nil)
		bad, _ := sim.node(there, 100*mbit, nil)
		good, _ := sim.node(there, 2*mbit, nil)
		asked := 0
		hostile(bad, protocol.WantProtocol, func(st network.Stream, r *bufio.Reader, w *bufio.Writer) {
			for {
				kind, items, err := protocol.ReadAsk(r)
				if err != nil {
					return
				}
				switch first, _ := cid.FromBytes(items[0]); {
				case kind == protocol.AskParts:
					asked++
					var b []byte
					for c := range there.blocks {
						b = protocol.AppendPart(b, protocol.PartMissing, c)
					}
					protocol.WriteAnswer(w, protocol.Plain, b)
				case first == root:
					protocol.WriteAnswer(w, protocol.Plain, there.blocks[root])
				default:
					protocol.WriteAnswer(w, protocol.Missing, nil)
				}
				if w.Flush() != nil {
					return
				}
			}
		})
		both(t, sim, a, bad, good)
		if err := a.Fetch(t.Context(), root, size, nil); err != nil {
			t.Fatal(err)
		}
		if asked > 2*wantNews {
			t.Errorf("it was asked %d times", asked)
		}
	})
}

// A slow and distant Bitswap-only peer sends large leaves in the end.
func TestSlowHonestBitswap(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		sim.net.LatencyFunc = simnet.StaticLatency(250 * time.Millisecond)
		there, here := newMemory(), newMemory()
		root := there.tree(t, 1, 3<<20-5)
		a, _ := sim.node(here, 100*mbit, nil)
		slow, _ := sim.node(there, 160_000, nil)
		hostOf(slow).RemoveStreamHandler(wireID(protocol.WantProtocol))
		connect(t, a, slow)
		time.Sleep(5 * time.Second) // until each knows what the other speaks
		var err error
		d := took(func() { err = a.Fetch(t.Context(), root, 0, nil) })
		t.Logf("%v", d)
		if err != nil || !here.has(root) {
			t.Error(err)
		}
		if sent := slow.host.Book().Sent.Load(); sent > 0 {
			t.Errorf("%d bytes were given otherwise", sent)
		}
	})
}
