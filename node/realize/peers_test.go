package realize

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

func nodeKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func nodeName(seed byte) protocol.Key { return protocol.KeyOf(nodeKey(seed)) }

// trusting returns a policy by which need of these nodes must agree.
func trusting(need int, seeds ...byte) *protocol.Policy {
	r := protocol.Rule{Names: "*", Need: need}
	for _, s := range seeds {
		r.Signers = append(r.Signers, protocol.Signer{Key: nodeName(s)})
	}
	return &protocol.Policy{Rules: []protocol.Rule{r}}
}

// neighbours are peers in this process: they answer from their stores what a swarm would deliver.
type neighbours struct {
	to     *fixture
	nodes  []*fixture
	fail   error                   // of Fetch
	broken func(root cid.CID) bool // reports whether a fetch fails; nil: every fetch works
	mu     sync.Mutex
	asked  [][]pir.PID
	got    []cid.CID
	spread []pir.PID
	// described are the PIDs whose PIRs the node asked for. Neighbours that are old send none. The neighbours send lies in place of the PIRs.
	described []pir.PID
	old       bool
	lies      map[pir.PID][]byte
}

func (n *neighbours) Statements(_ context.Context, ids []pir.PID) (all []protocol.Attestation, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, slices.Clone(ids))
	for _, node := range n.nodes {
		for _, id := range ids {
			for a, err := range node.store.Attestations(id) {
				if err != nil {
					return nil, err
				}
				all = append(all, a)
			}
		}
	}
	return all, nil
}

func (n *neighbours) PIRs(_ context.Context, ids []pir.PID) (map[pir.PID][]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.described = append(n.described, ids...)
	pirs := map[pir.PID][]byte{}
	for _, node := range n.nodes {
		for _, id := range ids {
			if canonical, _, err := node.store.PIR(id); err == nil && !n.old {
				pirs[id] = canonical
			}
		}
	}
	maps.Copy(pirs, n.lies)
	return pirs, nil
}

func (n *neighbours) Fetch(ctx context.Context, _ pir.PID, root cid.CID, _ int64, progress func(done, total int64)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail != nil {
		return n.fail
	}
	if n.broken != nil && n.broken(root) {
		return errors.New("nobody gives it")
	}
	for _, node := range n.nodes {
		if ok, err := node.store.Has(root); err != nil || !ok {
			continue
		}
		dir, err := os.MkdirTemp(n.to.dir, "fetch-")
		if err != nil {
			return err
		}
		if err := node.store.Export(ctx, root, dir+"/out"); err != nil {
			return err
		}
		got, err := n.to.r.take(ctx, dir+"/out", func(_ string, i fs.FileInfo) bool { return i.Mode()&0o111 != 0 }, nil)
		if err != nil {
			return err
		}
		if got != root {
			return errors.New("wrong content")
		}
		progress(1, 1)
		n.got = append(n.got, root)
		return nil
	}
	return errors.New("nobody has it")
}

func (n *neighbours) Announce(ids ...pir.PID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.spread = append(n.spread, ids...)
}

// chain describes app, which refers to lib, which refers to base; comment changes the PID of base and of all above it.
func chain(f *fixture, comment string) (app, lib, base pir.PID) {
	base = f.build("base", "b=B#"+comment, nil)
	lib = f.build("lib", "l=@base", map[string]pir.PID{"base": base})
	app = f.build("app", "bin/app=\x00asm @lib", map[string]pir.PID{"lib": lib})
	return app, lib, base
}

func joined(t *testing.T, policy *protocol.Policy, nodes ...*fixture) (*fixture, *neighbours) {
	n := &neighbours{nodes: nodes}
	n.to = newNode(t, 100, n, policy)
	return n.to, n
}

func TestReceive(t *testing.T) {
	a := newNode(t, 1, nil, nil)
	want := a.realize(first(chain(a, "")))

	b, n := joined(t, trusting(1, 1), a)
	app, lib, base := chain(b, "")
	got := b.realize(app)
	if got.Outputs[0].CID != want.Outputs[0].CID || got.Outputs[0].Way != protocol.Received || b.builder.built.Load() != 0 {
		t.Errorf("got %+v after %d builds", got.Outputs[0], b.builder.built.Load())
	}
	if d := cmp.Diff([][]pir.PID{{app, lib, base}}, n.asked); d != "" {
		t.Errorf("asked (-want +got): the wanted first, in one round trip\n%s", d)
	}
	closure, err := b.r.Closure(app)
	if err != nil || len(closure) != 3 {
		t.Errorf("closure %v, %v; want what it refers to as well", closure, err)
	}
	// The content is here now and other nodes may fetch it from here, but this node makes no claim of its own about it.
	if d := cmp.Diff(protocol.SortRefs([]pir.PID{app, lib, base}), protocol.SortRefs(n.spread)); d != "" {
		t.Errorf("announced (-want +got)\n%s", d)
	}
	for a, err := range b.store.Attestations(app) {
		if err != nil || a.Signer == nodeName(100) {
			t.Errorf("got %v by %s, want no word of its own", err, a.Signer)
		}
	}
	// All content is local now, so the node asks no peer.
	n.asked = nil
	if again := b.realize(app); again.Outputs[0].Way != protocol.Present || len(n.asked) != 0 {
		t.Errorf("the second time: %+v, asked %v", again.Outputs[0], n.asked)
	}
	// When the policy no longer trusts any signer, the node builds the packages that it had received by the policy.
	b.policy = &protocol.Policy{}
	if later := b.realize(app); later.Outputs[0].Way != protocol.Built || len(n.asked) != 0 {
		t.Errorf("trusting nobody: %+v, asked %v", later.Outputs[0], n.asked)
	}
	if !slices.Contains(n.spread, app) {
		t.Error("what was built is not announced")
	}
}

func first(app, _, _ pir.PID) pir.PID { return app }

func TestReceiveNotTrusted(t *testing.T) {
	a := newNode(t, 1, nil, nil)
	a.realize(first(chain(a, "")))
	for name, policy := range map[string]*protocol.Policy{"nobody": {}, "another": trusting(1, 7), "two": trusting(2, 1, 7)} {
		b, n := joined(t, policy, a)
		if got := b.realize(first(chain(b, ""))); got.Counts[protocol.Built] != 3 || len(n.got) != 0 {
			t.Errorf("%s: got %v and fetched %v", name, got.Counts, n.got)
		}
		if (len(n.asked) == 0) != (name == "nobody") {
			t.Errorf("%s: asked %v", name, n.asked)
		}
	}
}

// TestReceiveOffline checks that an offline request asks no peer.
func TestReceiveOffline(t *testing.T) {
	a := newNode(t, 1, nil, nil)
	a.realize(first(chain(a, "")))
	b, n := joined(t, trusting(1, 1), a)
	req := b.request(first(chain(b, "")))
	req.Packages, req.Offline = b.given, true
	if got, err := b.r.Realize(t.Context(), req); err != nil || got.Counts[protocol.Built] != 3 || len(n.asked) != 0 {
		t.Errorf("got %+v, %v; asked %v", got, err, n.asked)
	}
}

// TestLiar has three builders, one of which lies, and a policy by which two must agree.
func TestLiar(t *testing.T) {
	honest, other, liar := newNode(t, 1, nil, nil), newNode(t, 2, nil, nil), newNode(t, 3, nil, nil)
	liar.builder.salt = func() string { return "evil" }
	want := honest.realize(first(chain(honest, "")))
	other.realize(first(chain(other, "")))
	liar.realize(first(chain(liar, "")))

	b, _ := joined(t, trusting(2, 1, 2, 3), liar, honest, other)
	got := b.realize(first(chain(b, "")))
	if got.Outputs[0].CID != want.Outputs[0].CID || b.builder.built.Load() != 0 {
		t.Errorf("with two honest: got %+v after %d builds", got.Outputs[0], b.builder.built.Load())
	}
	d, err := b.r.Decide(got.Outputs[0].PID)
	if err != nil || len(d.Votes) != 3 {
		t.Errorf("decision %+v, %v; want the liar's vote in it", d, err)
	}

	b, n := joined(t, trusting(2, 1, 2, 3), liar)
	got = b.realize(first(chain(b, "")))
	if got.Outputs[0].CID != want.Outputs[0].CID || got.Outputs[0].Way != protocol.Built || len(n.got) != 0 {
		t.Errorf("with the liar alone: got %+v, fetched %v", got.Outputs[0], n.got)
	}
}

// TestReceiveUnavailable checks that the node builds a package if the policy decides its content but no peer can send it.
func TestReceiveUnavailable(t *testing.T) {
	a := newNode(t, 1, nil, nil)
	a.realize(first(chain(a, "")))
	b, n := joined(t, trusting(1, 1), a)
	n.fail = errors.New("the cable is out")
	got := b.realize(first(chain(b, "")))
	if got.Counts[protocol.Built] != 3 {
		t.Errorf("got %v", got.Counts)
	}
	noted := slices.ContainsFunc(b.events, func(e protocol.Event) bool {
		return e.Kind == protocol.EventNote && strings.Contains(e.Text, "the cable is out")
	})
	if !noted {
		t.Errorf("no event says why: %v", b.events)
	}
}

// TestReceiveResolved checks that the node asks again when the inputs are known: the neighbour has built the same content from another description.
func TestReceiveResolved(t *testing.T) {
	a := newNode(t, 1, nil, nil)
	top := func(f *fixture, comment string) pir.PID {
		tool := f.build("tool", "bin/tool=T#"+comment, nil)
		return f.build("top", "t=T", map[string]pir.PID{"tool": tool})
	}
	want := a.realize(top(a, "one"))
	b, n := joined(t, trusting(1, 1), a)
	id := top(b, "two")
	got := b.realize(id)
	if got.Outputs[0].CID != want.Outputs[0].CID || got.Outputs[0].Way != protocol.Cutoff || b.builder.built.Load() != 1 {
		t.Errorf("got %+v after %d builds; want the tool built and top received", got.Outputs[0], b.builder.built.Load())
	}
	if slices.Contains(n.spread, id) {
		t.Error("it vouches for what it has not built")
	}
	// It rests on the neighbour's claim alone.
	if again := b.realize(id); again.Outputs[0].Way != protocol.Present {
		t.Errorf("again: %+v", again.Outputs[0])
	}
	b.policy = trusting(1, 9)
	if later := b.realize(id); later.Outputs[0].Way != protocol.Built {
		t.Errorf("without trust: %+v", later.Outputs[0])
	}
}
