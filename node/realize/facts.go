package realize

import (
	"errors"
	"sync"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// known holds the facts of one request: those in the request itself and those in the store. It caches the facts that it has read until the
// caller reports a change. It is safe for concurrent use.
type known struct {
	r     *Realizer
	given map[pir.PID]protocol.Package
	peers bool // there are peers, and the request may use them
	lease *cas.Lease

	mu    sync.Mutex
	pirs  map[pir.PID]*description
	words map[pir.PID]*counted
	named map[pir.PID]*pir.PIR // resolved PIDs
	trees map[pir.Hash]cid.CID // of fetches whose content the store has
}

// A description is a PIR that this node may build from, with its origins and name.
type description struct {
	p         *pir.PIR
	canonical []byte
	origins   []byte
	name      string
	err       error // why there is none
}

// A counted is a claim that counts, or none.
type counted struct {
	word word
	ok   bool
}

func newKnown(r *Realizer, req *Request) *known {
	k := &known{r: r, lease: req.Lease, given: map[pir.PID]protocol.Package{}, pirs: map[pir.PID]*description{}, words: map[pir.PID]*counted{}, named: map[pir.PID]*pir.PIR{}, trees: map[pir.Hash]cid.CID{}}
	for _, p := range req.Packages {
		id := pir.Sum([]byte(p.PIR))
		k.given[id] = p
		k.lease.KeepPIDs(id)
	}
	k.lease.KeepPIDs(req.Wanted...)
	k.peers = r.o.Peers != nil && !req.Offline
	return k
}

// forget drops the cached facts about PIDs, because the store has new ones.
func (k *known) forget(ids ...pir.PID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range ids {
		delete(k.words, id)
		if _, given := k.given[id]; !given {
			delete(k.pirs, id)
		}
	}
}

func (k *known) others() bool { return k.peers && len(k.r.policy().Signers()) > 0 }

func (k *known) word(id pir.PID) (word, bool, error) {
	k.mu.Lock()
	c := k.words[id]
	k.mu.Unlock()
	if c != nil {
		return c.word, c.ok, nil
	}
	k.lease.KeepPIDs(id)
	w, err := k.r.wordBy(id, k.names)
	if err != nil && !errors.Is(err, cas.ErrNotFound) {
		return word{}, false, err
	}
	k.lease.Keep(w.cid)
	c = &counted{w, err == nil}
	k.mu.Lock()
	k.words[id] = c
	k.mu.Unlock()
	return c.word, c.ok, nil
}

func (k *known) alias(resolved pir.PID, p *pir.PIR) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.named[resolved] = p
}

// names returns the PIR by whose name the policy judges a PID: the one in the request, or any that the store has.
func (k *known) names(id pir.PID) *pir.PIR {
	k.mu.Lock()
	p := k.named[id]
	k.mu.Unlock()
	if p != nil {
		return p
	}
	if d := k.description(id); d.p != nil {
		return d.p
	}
	return k.r.stored(id)
}

func (k *known) here(id pir.PID, content cid.CID) (bool, error) {
	at, ok, err := k.r.present(id)
	return ok && at == content, err
}

// held checks the whole tree, so it caches a positive result.
func (k *known) held(p *pir.PIR) (cid.CID, bool, error) {
	k.mu.Lock()
	content, ok := k.trees[p.Hash]
	k.mu.Unlock()
	if ok {
		return content, true, nil
	}
	content, ok, err := k.r.held(p, k.lease)
	if ok {
		k.mu.Lock()
		k.trees[p.Hash] = content
		k.mu.Unlock()
	}
	return content, ok, err
}

// description returns the PIR of a PID and its origins, from this request or an earlier one. A request always gives a list of origins, which
// may be empty. If a PIR in the store has no list, a peer sent it or this node derived it, and the node does not build from it.
func (k *known) description(id pir.PID) *description {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d := k.pirs[id]; d != nil {
		return d
	}
	d := &description{}
	k.pirs[id] = d
	d.name = id.Short()
	if given, ok := k.given[id]; ok {
		d.canonical, d.name = []byte(given.PIR), given.Name
		d.origins, d.err = joinOrigins(given.Origins)
	} else {
		d.canonical, d.origins, d.err = k.r.o.Store.PIR(id)
		if errors.Is(d.err, cas.ErrNotFound) || d.err == nil && d.origins == nil {
			d.err = protocol.Errorf(protocol.NotFound, "this node has no description of %s", id.Short()).
				WithHint("build it by its package's name or file")
		}
	}
	if d.err != nil {
		return d
	}
	p, err := pir.Decode(d.canonical)
	if err != nil {
		d.err = protocol.Errorf(protocol.Invalid, "%w", err)
		return d
	}
	if d.p = p; d.name == "" || d.name == id.Short() {
		d.name = label(p, d.origins)
	}
	return d
}
