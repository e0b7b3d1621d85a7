package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/node/mesh"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// speakEvery is how often the node's head is looked at.
	speakEvery = time.Minute
	// listenEvery is how often the heads of signers are asked for.
	listenEvery = 10 * time.Minute
)

// swarms are the node's memberships: of the public swarm, and of meshes. They implement realize.Peers.
//
// The public swarm is joined when there is a reason: something is shared by name, somebody is trusted, a node to begin
// with is known, the configuration says where to listen, an invitation
// to a mesh holds, or a call wants it now. Until then no socket is open.
type swarms struct {
	home    protocol.Home
	store   *cas.Store
	key     ed25519.PrivateKey
	config  *config.File
	policy  *policyFile
	heads   *heads
	sharing *sharing
	meshes  *mesh.Meshes
	log     *slog.Logger
	metrics *metrics
	apart   bool // whatever the configuration says

	looked  chan struct{} // closed once the reasons to be in a swarm were looked at
	changed chan struct{}
	stale   chan struct{}
	told    chan []byte // heads that are to be told to peers

	mu      sync.Mutex
	members map[string]*membership // by the name of the mesh; "" is the public swarm
	wanted  int                    // calls that want the public swarm now
	joined  chan struct{}          // closed and replaced when members change
}

// newSwarms prepares what has its fields from home to metrics set.
func newSwarms(s *swarms) *swarms {
	s.looked, s.changed, s.stale, s.told = make(chan struct{}), make(chan struct{}, 1), make(chan struct{}, 1), make(chan []byte, 64)
	s.members = map[string]*membership{}
	s.joined = make(chan struct{})
	return s
}

// begun waits until the node is where it is to be, right after the daemon's start.
func (s *swarms) begun(ctx context.Context) {
	select {
	case <-s.looked:
	case <-ctx.Done():
	}
}

// wake has the reasons to be in a swarm looked at again.
func (s *swarms) wake() { signal(s.changed) }

// news has signers asked for a newer word.
func (s *swarms) news() { signal(s.stale) }

// signal sends unless a signal is waiting already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run joins and leaves swarms until ctx ends, and returns when all are left.
func (s *swarms) Run(ctx context.Context) {
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
			s.speak(ctx)
		}
	}
}

// listen asks for the heads of signers from time to time, and when somebody is newly trusted or connected to:
// so a revocation is heard of also where nothing is asked for.
func (s *swarms) listen(ctx context.Context) {
	tick := time.NewTicker(listenEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.stale:
		case <-tick.C:
		}
		for _, m := range s.all() {
			m.settled(ctx)
			if _, err := m.swarm.Statements(ctx, nil); err != nil && ctx.Err() == nil {
				s.log.Warn("ask for heads", "swarm", m.name, "error", err)
			}
		}
	}
}

// spread tells peers the heads that are news here, until ctx ends.
func (s *swarms) spread(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case head := <-s.told:
			s.tell(ctx, head)
		}
	}
}

// tell tells the peers of all memberships a head.
func (s *swarms) tell(ctx context.Context, head []byte) {
	var telling sync.WaitGroup
	for _, m := range s.all() {
		telling.Go(func() { m.swarm.Tell(ctx, head) })
	}
	telling.Wait()
}

// hint has a head told to peers, unless too many wait for that: it is a hint only.
func (s *swarms) hint(head []byte) {
	select {
	case s.told <- head:
	default:
	}
}

// reasons says whether there is one to be in the public swarm.
func (s *swarms) reasons() bool {
	s.mu.Lock()
	wanted := s.wanted > 0
	s.mu.Unlock()
	if c := s.config.Get(); wanted || s.meshes.Inviting(time.Now()) || c.Listens || len(c.Bootstrap) > 0 || len(s.policy.Get().Signers()) > 0 {
		return true
	}
	for root, err := range s.store.Roots() {
		if err == nil && strings.HasPrefix(root.Name, shareRoot) {
			return true
		}
	}
	return false
}

// update joins what there is a reason to be in, and leaves the rest.
func (s *swarms) update(ctx context.Context) {
	want := map[string]bool{}
	if s.reasons() {
		want[""] = true
	}
	for _, name := range s.meshes.Names() {
		want[name] = true
	}
	moved := map[*membership]bool{} // the name is that of another mesh by now
	for _, m := range s.all() {
		if prefix, _, err := s.meshes.Place(m.name); m.name != "" && err == nil {
			moved[m] = prefix != m.prefix
		}
	}
	s.mu.Lock()
	var gone []*membership
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
	s.mu.Unlock()
	for _, m := range gone {
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
			s.log.Error("join", "swarm", name, "error", err)
		}
	}
}

// renew has the members of a mesh look at each other again: somebody was revoked.
func (s *swarms) renew(mesh string) {
	s.mu.Lock()
	m := s.members[mesh]
	s.mu.Unlock()
	if m != nil {
		m.swarm.Renew()
	}
}

// addressesIn returns where this node is in a mesh.
func (s *swarms) addressesIn(mesh string) []string {
	s.mu.Lock()
	m := s.members[mesh]
	s.mu.Unlock()
	if m == nil {
		return nil
	}
	addresses, _ := ticketAddresses(m.swarm.Addresses())
	for i, a := range addresses {
		addresses[i] = a + "/p2p/" + control.PeerID(protocol.KeyOf(s.key))
	}
	return addresses
}

func (s *swarms) leaveAll() {
	s.mu.Lock()
	members := s.members
	s.members = map[string]*membership{}
	s.mu.Unlock()
	for _, m := range members {
		m.leave()
	}
	for _, m := range members {
		<-m.left
	}
}

// all returns the memberships that run.
func (s *swarms) all() []*membership {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*membership, 0, len(s.members))
	for _, m := range s.members {
		list = append(list, m)
	}
	return list
}

// enter returns the public membership, which is begun if need be and does not end before release is called. Right after the daemon's
// start it waits for the meshes as well.
func (s *swarms) enter(ctx context.Context) (m *membership, release func(), err error) {
	s.mu.Lock()
	s.wanted++
	s.mu.Unlock()
	release = func() {
		s.mu.Lock()
		s.wanted--
		s.mu.Unlock()
		s.wake()
	}
	s.wake()
	late, looked := time.After(10*time.Second), s.looked
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

// Statements implements realize.Peers: all memberships are asked at once.
func (s *swarms) Statements(ctx context.Context, ids []pir.PID) ([]protocol.Attestation, error) {
	_, release, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	var mu sync.Mutex
	var asking sync.WaitGroup
	var all []protocol.Attestation
	var errs []error
	for _, m := range s.all() {
		asking.Go(func() {
			m.settled(ctx)
			said, err := m.swarm.Statements(ctx, ids)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, said...)
			if err != nil {
				errs = append(errs, err)
			}
			for _, a := range said {
				s.sharing.hear(m.name, a.PID)
			}
		})
	}
	asking.Wait()
	return all, errors.Join(errs...)
}

// Fetch implements realize.Peers. Meshes are tried first: they are near.
func (s *swarms) Fetch(ctx context.Context, id pir.PID, root cid.CID, size int64, progress func(done, total int64)) error {
	defer s.sharing.expect(id, root)()
	_, release, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer release()
	var errs []error
	for _, public := range []bool{false, true} {
		for _, m := range s.all() {
			if (m.name == "") != public {
				continue
			}
			m.settled(ctx)
			err := m.swarm.Fetch(ctx, root, size, progress)
			if err == nil {
				return s.sharing.arrived(ctx, id, root)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return protocol.Errorf(protocol.Unavailable, "fetch %s: this node is in no swarm", root)
	}
	return errors.Join(errs...)
}

// Announce implements realize.Peers: these packages have content now.
func (s *swarms) Announce(ids ...pir.PID) {
	for _, id := range ids {
		content, err := s.store.CID(id)
		if err == nil {
			err = s.sharing.learn(context.Background(), id, content)
		}
		if err != nil {
			s.log.Warn("how far it may go is unknown", "pid", id, "error", err)
		}
	}
	for _, m := range s.all() {
		m.swarm.Announce(ids...)
	}
}

// speak makes the node's next head, if it has something new to say to everybody.
func (s *swarms) speak(ctx context.Context) {
	if len(s.all()) == 0 {
		return
	}
	said, err := s.ownStatements()
	if err == nil {
		err = s.heads.speak(s.key, said, time.Now())
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("make the node's head", "error", err)
	}
}

// ownStatements returns what this node says to everybody.
func (s *swarms) ownStatements() ([]protocol.Attestation, error) {
	own := protocol.KeyOf(s.key)
	var said []protocol.Attestation
	for b, err := range s.store.Bindings() {
		if err != nil {
			return nil, err
		}
		if s.sharing.Reach(b.PID) != config.Public {
			continue
		}
		for a, err := range s.store.Attestations(b.PID) {
			if err != nil {
				return nil, err
			}
			if a.Signer == own && a.Via.IsZero() {
				said = append(said, a)
			}
		}
	}
	return said, nil
}

// Peers returns the nodes that this one is connected to.
func (s *swarms) Peers() []protocol.Peer {
	peers := []protocol.Peer{}
	for _, m := range s.all() {
		for _, p := range m.swarm.Peers() {
			p.Mesh = m.name
			peers = append(peers, p)
		}
	}
	return peers
}
