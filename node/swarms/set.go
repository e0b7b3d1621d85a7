package swarms

import (
	"context"
	"crypto/ed25519"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/node/mesh"
	"github.com/MordragT/nuka/node/metrics"
	"github.com/MordragT/nuka/node/published"
	"github.com/MordragT/nuka/node/sharing"
	"github.com/MordragT/nuka/node/trust"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// speakEvery is the time between two looks at whether the node needs a new head.
	speakEvery = time.Minute
	// listenEvery is the time between two questions for the heads of signers.
	listenEvery = 10 * time.Minute
	// joinWithin is the longest time that a call waits for the public swarm.
	joinWithin = 10 * time.Second
)

// Store is the set of store operations that a Set needs.
type Store interface {
	CID(p pir.PID) (cid.CID, error)
	PIR(p pir.PID) (canonical, origins []byte, err error)
	Bindings() iter.Seq2[cas.Binding, error]
	Attestations(p pir.PID) iter.Seq2[protocol.Attestation, error]
	Block(ctx context.Context, c cid.CID) ([]byte, error)
	AppendBlock(ctx context.Context, c cid.CID, buf []byte) ([]byte, error)
}

// Options configures a Set. All fields but Published, Metrics and Apart must be set.
type Options struct {
	Dir       string // for the state of each swarm
	Store     Store
	Key       ed25519.PrivateKey // the node's
	Config    *config.File
	Policy    *trust.Policy
	Heads     *trust.Heads
	Published *published.Heads // of feeds and package sets; nil keeps none
	Meshes    *mesh.Meshes
	Metrics   *metrics.Metrics
	Log       *slog.Logger
	Apart     bool // run each swarm in a process of its own, even if the configuration does not say so
}

// A Set is the node's memberships: in the public swarm, and in meshes. It implements realize.Peers, and is safe for use by several goroutines.
//
// The Set joins the public swarm when there is a reason: something is shared by name, a signer is trusted, a feed or package set is published or followed, the configuration names bootstrap
// peers or an address to listen at, an invitation to a mesh is valid, or a call needs the swarm now. Until then no socket is open.
type Set struct {
	// Sharing must be set before Run and before calls.
	Sharing *sharing.Sharing

	o       *Options
	looked  chan struct{} // closed after the first look at the reasons to be in a swarm
	changed chan struct{} // the reasons may have changed
	stale   chan struct{} // the heads of signers may have changed
	told    chan []byte   // heads to send to peers

	mu      sync.Mutex
	members map[string]*Membership // by the name of the mesh; "" is the public swarm
	wanted  int                    // calls that need the public swarm now
	joined  chan struct{}          // closed and replaced when members change
}

// New returns a Set that is in no swarm yet; see Run.
func New(o *Options) *Set {
	return &Set{
		o: o, looked: make(chan struct{}), changed: make(chan struct{}, 1), stale: make(chan struct{}, 1), told: make(chan []byte, 64),
		members: map[string]*Membership{}, joined: make(chan struct{}),
	}
}

// Wake makes the Set look again at the reasons to be in a swarm. It does not wait.
func (s *Set) Wake() { signal(s.changed) }

// AskHeads makes the Set ask peers for newer heads of signers. It does not wait.
func (s *Set) AskHeads() { signal(s.stale) }

// signal sends unless a signal is waiting already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run joins and leaves swarms until ctx ends, and returns when the node has left all of them.
func (s *Set) Run(ctx context.Context) {
	var beside sync.WaitGroup
	beside.Go(func() { s.listen(ctx) })
	beside.Go(func() { s.spread(ctx) })
	defer beside.Wait()
	defer s.leaveAll()
	tick := time.NewTicker(speakEvery)
	defer tick.Stop()
	s.update(ctx)
	close(s.looked)
	for ; ; s.update(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		case <-tick.C:
			s.Speak(ctx)
		}
	}
}

// reasons returns whether there is a reason to be in the public swarm.
func (s *Set) reasons() bool {
	s.mu.Lock()
	wanted := s.wanted > 0
	s.mu.Unlock()
	c := s.o.Config.Get()
	return wanted || s.o.Meshes.Inviting(time.Now()) || c.Listens || len(c.Bootstrap) > 0 || len(s.o.Policy.Get().Signers()) > 0 || s.Sharing.Any() || s.o.Published.Any()
}

// update joins the swarms that there is a reason to be in, and leaves the others.
func (s *Set) update(ctx context.Context) {
	want := map[string]bool{}
	if s.reasons() {
		want[""] = true
	}
	for _, name := range s.o.Meshes.Names() {
		want[name] = true
	}
	for _, m := range s.gone(want) {
		m.leave()
		<-m.left
	}
	for name := range want {
		s.mu.Lock()
		_, in := s.members[name]
		s.mu.Unlock()
		if in || ctx.Err() != nil {
			continue
		}
		if err := s.join(ctx, name); err != nil {
			s.o.Log.Error("join", "swarm", name, "error", err)
		}
	}
}

// gone removes memberships that have ended or are not wanted, and returns those to leave.
func (s *Set) gone(want map[string]bool) []*Membership {
	moved := map[*Membership]bool{} // the name now belongs to another mesh
	for _, m := range s.all() {
		if prefix, _, err := s.o.Meshes.Place(m.name); m.name != "" && err == nil {
			moved[m] = prefix != m.prefix
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var gone []*Membership
	for name, m := range s.members {
		select {
		case <-m.left: // it ended by itself
			delete(s.members, name)
		default:
			if !want[name] || moved[m] {
				gone = append(gone, m)
				delete(s.members, name)
			}
		}
	}
	return gone
}

func (s *Set) leaveAll() {
	s.mu.Lock()
	members := s.members
	s.members = map[string]*Membership{}
	s.mu.Unlock()
	for _, m := range members {
		m.leave()
	}
	for _, m := range members {
		<-m.left
	}
}

// Renew makes the members of a mesh check each other's certificates again, because one was revoked.
func (s *Set) Renew(mesh string) {
	if m := s.member(mesh); m != nil {
		m.Renew()
	}
}

// member returns the membership in a mesh, or in the public swarm (""); nil if there is none.
func (s *Set) member(mesh string) *Membership {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.members[mesh]
}

// all returns the memberships that run.
func (s *Set) all() []*Membership {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*Membership, 0, len(s.members))
	for _, m := range s.members {
		list = append(list, m)
	}
	return list
}

// Public returns the membership in the public swarm; nil if there is none. Right after the daemon's start it waits until Run has looked at the
// reasons to be in a swarm.
func (s *Set) Public(ctx context.Context) *Membership {
	select {
	case <-s.looked:
	case <-ctx.Done():
	}
	return s.member("")
}

// Enter returns the membership in the public swarm, which the Set joins if need be and does not leave before release is called. Right after the
// daemon's start Enter waits for the meshes as well. protocol.Unavailable: the swarm cannot be joined.
func (s *Set) Enter(ctx context.Context) (m *Membership, release func(), err error) {
	s.mu.Lock()
	s.wanted++
	s.mu.Unlock()
	release = func() {
		s.mu.Lock()
		s.wanted--
		s.mu.Unlock()
		s.Wake()
	}
	s.Wake()
	late, looked := time.After(joinWithin), s.looked
	for {
		s.mu.Lock()
		m, joined := s.members[""], s.joined
		s.mu.Unlock()
		if m != nil && looked == nil {
			return m, release, nil
		}
		select {
		case <-looked:
			looked = nil
		case <-joined:
		case <-late:
			release()
			return nil, nil, protocol.Errorf(protocol.Unavailable, "the swarm cannot be joined").WithHint("see the daemon's log; nuka status prints its path")
		case <-ctx.Done():
			release()
			return nil, nil, ctx.Err()
		}
	}
}

// Peers returns the nodes that this one is connected to.
func (s *Set) Peers() []protocol.Peer {
	peers := []protocol.Peer{}
	for _, m := range s.all() {
		for _, p := range m.Peers() {
			p.Mesh = m.name
			peers = append(peers, p)
		}
	}
	return peers
}
