package fetch

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A swarm is a queue of some leaves of 1 MiB, with a seeder and some leechers.
type swarm struct {
	*queue
	all   *worker // the seeder
	parts []*worker
	now   time.Time
}

func swarmLeaf(i int) cid.CID { return cid.Sum(cid.Raw, []byte{byte(i), byte(i >> 8)}) }

func newSwarm(leaves, parts int) *swarm {
	c := &swarm{queue: &queue{}, now: time.Unix(1_000_000_000, 0)}
	list := make([]cid.Leaf, leaves)
	for i := range list {
		list[i] = cid.Leaf{CID: swarmLeaf(i), Size: cid.LeafSize}
	}
	c.fill(list, false)
	peer := func(parts []protocol.Part) *worker {
		p := &provider{peer: &routing.Peer{}, parts: parts}
		p.w = &worker{p: p}
		return p.w
	}
	c.all = peer(nil)
	c.all.rate = 1 << 20
	for range parts {
		w := peer(make([]protocol.Part, leaves))
		c.parts = append(c.parts, w)
		c.leechers = append(c.leechers, w.p)
	}
	c.workers = append([]*worker{c.all}, c.parts...)
	return c
}

// has makes a leecher say something about leaves.
func (c *swarm) has(peer int, part protocol.Part, leaves ...int32) {
	for _, leaf := range leaves {
		c.parts[peer].p.parts[leaf] = part
	}
}

// give makes a provider send everything that is in flight, in the given time.
func (c *swarm) give(w *worker, within time.Duration) {
	c.now = c.now.Add(within)
	for len(w.pending) > 0 {
		w.bytes.Add(c.leaves[w.pending[0]].Size)
		c.arrived(w, true, c.now)
	}
}

// A seeder is asked for leaves that no leecher has or will have, a leecher for leaves that it has.
func TestParts(t *testing.T) {
	c := newSwarm(6, 3)
	c.has(0, protocol.PartHere, 0)
	c.has(1, protocol.PartMissing, 0, 2, 3, 4, 5)
	c.has(1, protocol.PartComing, 1)
	c.has(2, protocol.PartMissing, 2, 4, 5)
	if got := c.take(c.all, c.now); !slices.Equal(got, []int32{2}) {
		t.Errorf("the seeder: got leaves %d, want the first that no leecher has", got)
	}
	if got := c.take(c.parts[1], c.now); len(got) > 0 {
		t.Errorf("a leecher that has nothing yet: got leaves %d", got)
	}
	if got := c.take(c.parts[0], c.now); len(got) == 0 || got[0] != 0 {
		t.Errorf("a leecher: got leaves %d, want what it has", got)
	}
	if got := c.take(c.parts[2], c.now); !slices.Equal(got, []int32{1}) {
		t.Errorf("a leecher that has said little: got leaves %d, want the first that it may have", got)
	}
}

// The seeder is not deprioritised for leechers that are few, or late, or send less than it does.
func TestPartsTooLittle(t *testing.T) {
	tests := map[string]struct {
		parts         int
		change        func(c *swarm)
		deprioritised bool
	}{
		"three":     {parts: 3, deprioritised: true},
		"two":       {parts: 2},
		"unknown":   {parts: 3, change: func(c *swarm) { c.all.rate = 0 }},
		"asked":     {parts: 3, deprioritised: true, change: func(c *swarm) { c.all.rate = 0; c.take(c.all, c.now) }},
		"one late":  {parts: 3, change: func(c *swarm) { c.parts[0].late = true }},
		"two lost":  {parts: 4, change: func(c *swarm) { c.parts[0].p.lost, c.parts[1].p.lost = true, true }},
		"all whole": {parts: 3, deprioritised: true, change: func(c *swarm) { c.parts[0].p.parts, c.parts[1].p.parts = nil, nil }},
		"slow": {parts: 3, change: func(c *swarm) {
			c.all.rate = 10 << 20
			c.shared(c.now)
			c.take(c.parts[0], c.now)
			c.give(c.parts[0], 2*sharedTime)
		}},
		"fast": {parts: 3, deprioritised: true, change: func(c *swarm) {
			c.all.rate = 100 << 10
			c.shared(c.now)
			c.take(c.parts[0], c.now)
			c.give(c.parts[0], 2*sharedTime)
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newSwarm(8, test.parts)
			for i := range c.parts {
				c.has(i, protocol.PartHere, 0, 1, 2, 3, 4, 5, 6, 7)
			}
			if test.change != nil {
				test.change(c)
			}
			if got := len(c.take(c.all, c.now)) == 0; got != test.deprioritised {
				t.Errorf("the seeder is asked for nothing: %t, want %t", got, test.deprioritised)
			}
		})
	}
}

// A job tells what has become of each leaf, and then what has changed; another job for the same tree understands it.
func TestPartsOfJob(t *testing.T) {
	giver, taker := &Job{}, &Job{}
	taker.cond.L = &taker.mu
	var told Told
	if got := giver.Parts(&told); len(got) > 0 {
		t.Errorf("before its leaves are known: got %d", got)
	}
	giver.leaves, taker.leaves = *newSwarm(4, 0).queue, *newSwarm(3, 0).queue
	p := &provider{}
	for _, step := range []struct {
		change func()
		news   int
		want   []protocol.Part
	}{
		{func() {}, 4, []protocol.Part{protocol.PartMissing, protocol.PartMissing, protocol.PartMissing}},
		{func() { giver.leaves.inFlight[1], giver.leaves.done[3] = 1, true }, 2, []protocol.Part{protocol.PartMissing, protocol.PartComing, protocol.PartMissing}},
		{func() {}, 0, []protocol.Part{protocol.PartMissing, protocol.PartComing, protocol.PartMissing}},
		{func() { giver.leaves.inFlight[1], giver.leaves.done[0] = 0, true }, 2, []protocol.Part{protocol.PartHere, protocol.PartMissing, protocol.PartMissing}},
	} {
		step.change()
		leaves, parts, err := protocol.Parts(giver.Parts(&told))
		if err != nil || len(leaves) != step.news {
			t.Errorf("got news of %d leaves, %v; want %d", len(leaves), err, step.news)
		}
		taker.learn(p, leaves, parts)
		if !cmp.Equal(p.parts, step.want) {
			t.Errorf("got %d, want %d", p.parts, step.want)
		}
	}
	// A stream that outlives a job is told everything about the next one.
	next := &Job{leaves: *newSwarm(2, 0).queue}
	if leaves, _, err := protocol.Parts(next.Parts(&told)); err != nil || len(leaves) != 2 {
		t.Errorf("the next job: got news of %d leaves, %v; want 2", len(leaves), err)
	}
}
