package swarm

import (
	"bufio"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// Leechers that claim to have, or to receive, every leaf and send none cost a second and no more.
func TestPartsLiars(t *testing.T) {
	const size = 24 << 20
	bring := func(t *testing.T, liars int, part protocol.Part) (d time.Duration) {
		simulate(t, func(t *testing.T, sim *simulation) {
			honest, here := newMemory(), newMemory()
			root := honest.tree(t, 24, size/24)
			a, _ := sim.node(here, 100*mbit, nil)
			good, _ := sim.node(honest, 100*mbit, nil)
			connect(t, a, good)
			for range liars {
				m := newMemory()
				m.tree(t, 24, size/24)
				bad, _ := sim.node(m, 100*mbit, nil)
				hostile(bad, protocol.WantProtocol, func(st network.Stream, r *bufio.Reader, w *bufio.Writer) {
					for {
						kind, items, err := protocol.ReadAsk(r)
						if err != nil {
							return
						}
						for _, item := range items {
							e, b := protocol.Missing, []byte(nil)
							switch kind {
							case protocol.AskParts:
								e = protocol.Plain
								for c := range m.blocks {
									b = protocol.AppendPart(b, part, c)
								}
							case protocol.AskBlocks:
								if c, err := cid.FromBytes(item); err == nil && c.Codec() == cid.DagPB {
									e, b = protocol.Plain, m.blocks[c]
								}
							case protocol.AskNodes:
								e = protocol.End
							}
							if protocol.WriteAnswer(w, e, b) != nil || w.Flush() != nil {
								return
							}
						}
					}
				})
				connect(t, a, bad)
			}
			d = took(func() {
				if err := a.Fetch(t.Context(), root, size, nil); err != nil {
					t.Error(err)
				}
			})
		})
		return d
	}
	alone := bring(t, 0, 0)
	for name, part := range map[string]protocol.Part{"here": protocol.PartHere, "coming": protocol.PartComing} {
		if d := bring(t, 4, part); d > alone+wantSharedTime+wantSharedTime/2 {
			t.Errorf("with four who say %q: %s, and %s without them", name, d, alone)
		}
	}
}
