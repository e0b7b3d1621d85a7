package swarm

import (
	"bufio"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A crowd is a queue of some leaves of 1 MiB, with a peer that has all and some that have a part.
type crowd struct {
	*queue
	all   *worker
	parts []*worker
	now   time.Time
}

func crowdLeaf(i int) cid.CID { return cid.Sum(cid.Raw, []byte{byte(i), byte(i >> 8)}) }

func newCrowd(leaves, parts int) *crowd {
	c := &crowd{queue: &queue{}, now: time.Unix(1_000_000_000, 0)}
	list := make([]cid.Leaf, leaves)
	for i := range list {
		list[i] = cid.Leaf{CID: crowdLeaf(i), Size: cid.LeafSize}
	}
	c.fill(list, false)
	peer := func(parts []protocol.Part) *worker {
		h := &holder{m: &member{}, parts: parts}
		h.w = &worker{h: h}
		return h.w
	}
	c.all = peer(nil)
	c.all.rate = 1 << 20
	for range parts {
		w := peer(make([]protocol.Part, leaves))
		c.parts = append(c.parts, w)
		c.sharers = append(c.sharers, w.h)
	}
	c.workers = append([]*worker{c.all}, c.parts...)
	return c
}

// has has a peer say something about leaves.
func (c *crowd) has(peer int, part protocol.Part, leaves ...int32) {
	for _, leaf := range leaves {
		c.parts[peer].h.parts[leaf] = part
	}
}

// give lets a peer give all that it owes, in the given time.
func (c *crowd) give(w *worker, within time.Duration) {
	c.now = c.now.Add(within)
	for len(w.pending) > 0 {
		w.bytes.Add(c.leaves[w.pending[0]].Size)
		c.came(w, true, c.now)
	}
}

// Who has all is asked for what nobody else has or will have, who has a part for what it has.
func TestParts(t *testing.T) {
	c := newCrowd(6, 3)
	c.has(0, protocol.PartHere, 0)
	c.has(1, protocol.PartMissing, 0, 2, 3, 4, 5)
	c.has(1, protocol.PartComing, 1)
	c.has(2, protocol.PartMissing, 2, 4, 5)
	if got := c.take(c.all, c.now); !slices.Equal(got, []int32{2}) {
		t.Errorf("who has all: got leaves %d, want the first that nobody else has", got)
	}
	if got := c.take(c.parts[1], c.now); len(got) > 0 {
		t.Errorf("who has nothing yet: got leaves %d", got)
	}
	if got := c.take(c.parts[0], c.now); len(got) == 0 || got[0] != 0 {
		t.Errorf("who has a part: got leaves %d, want what it has", got)
	}
	if got := c.take(c.parts[2], c.now); !slices.Equal(got, []int32{1}) {
		t.Errorf("of whom too little is known: got leaves %d, want the first that it may have", got)
	}
}

// What others have is not waited for when they are few, or late, or give less than who has all.
func TestPartsTooLittle(t *testing.T) {
	tests := map[string]struct {
		parts  int
		change func(c *crowd)
		spared bool
	}{
		"three":     {parts: 3, spared: true},
		"two":       {parts: 2},
		"unknown":   {parts: 3, change: func(c *crowd) { c.all.rate = 0 }},
		"asked":     {parts: 3, spared: true, change: func(c *crowd) { c.all.rate = 0; c.take(c.all, c.now) }},
		"one late":  {parts: 3, change: func(c *crowd) { c.parts[0].late = true }},
		"two lost":  {parts: 4, change: func(c *crowd) { c.parts[0].h.lost, c.parts[1].h.lost = true, true }},
		"all whole": {parts: 3, spared: true, change: func(c *crowd) { c.parts[0].h.parts, c.parts[1].h.parts = nil, nil }},
		"slow": {parts: 3, change: func(c *crowd) {
			c.all.rate = 10 << 20
			c.shared(c.now)
			c.take(c.parts[0], c.now)
			c.give(c.parts[0], 2*sharedTime)
		}},
		"fast": {parts: 3, spared: true, change: func(c *crowd) {
			c.all.rate = 100 << 10
			c.shared(c.now)
			c.take(c.parts[0], c.now)
			c.give(c.parts[0], 2*sharedTime)
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCrowd(8, test.parts)
			for i := range c.parts {
				c.has(i, protocol.PartHere, 0, 1, 2, 3, 4, 5, 6, 7)
			}
			if test.change != nil {
				test.change(c)
			}
			if got := len(c.take(c.all, c.now)) == 0; got != test.spared {
				t.Errorf("who has all is asked for nothing: %t, want %t", got, test.spared)
			}
		})
	}
}

// A fetch tells what has become of each leaf, and then what is news; another fetch of the same tree understands it.
func TestPartsOfFetch(t *testing.T) {
	giver, taker := &fetch{}, &fetch{}
	taker.cond.L = &taker.mu
	var told []protocol.Part
	if got := giver.parts(&told); len(got) > 0 {
		t.Errorf("before its leaves are known: got %d", got)
	}
	giver.leaves, taker.leaves = *newCrowd(4, 0).queue, *newCrowd(3, 0).queue
	h := &holder{}
	for _, step := range []struct {
		change func()
		news   int
		want   []protocol.Part
	}{
		{func() {}, 4, []protocol.Part{protocol.PartMissing, protocol.PartMissing, protocol.PartMissing}},
		{func() { giver.leaves.owners[1], giver.leaves.done[3] = 1, true }, 2, []protocol.Part{protocol.PartMissing, protocol.PartComing, protocol.PartMissing}},
		{func() {}, 0, []protocol.Part{protocol.PartMissing, protocol.PartComing, protocol.PartMissing}},
		{func() { giver.leaves.owners[1], giver.leaves.done[0] = 0, true }, 2, []protocol.Part{protocol.PartHere, protocol.PartMissing, protocol.PartMissing}},
	} {
		step.change()
		leaves, parts, err := protocol.Parts(giver.parts(&told))
		if err != nil || len(leaves) != step.news {
			t.Errorf("got news of %d leaves, %v; want %d", len(leaves), err, step.news)
		}
		taker.learn(h, leaves, parts)
		if !cmp.Equal(h.parts, step.want) {
			t.Errorf("got %d, want %d", h.parts, step.want)
		}
	}
}

// Peers that say that they have, or will have, every leaf, and give none, cost a second and no more.
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
		if d := bring(t, 4, part); d > alone+sharedTime+sharedTime/2 {
			t.Errorf("with four who say %q: %s, and %s without them", name, d, alone)
		}
	}
}
