package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/swarm"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// settle is how long a membership that has just begun may look for its first peer before somebody asks it.
	settle = 3 * time.Second
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
	config  *configFile
	policy  *policyFile
	heads   *heads
	sharing *sharing
	meshes  *meshes
	log     *slog.Logger
	metrics *metrics

	changed chan struct{}
	stale   chan struct{}

	mu      sync.Mutex
	members map[string]*membership // by the name of the mesh; "" is the public swarm
	wanted  int                    // calls that want the public swarm now
	joined  chan struct{}          // closed and replaced when members change
}

// A membership is one swarm that the node is in.
type membership struct {
	name   string
	swarm  *swarm.Swarm
	system *system
	since  time.Time
	shows  string // the credential
	leave  context.CancelFunc
	left   chan struct{}
}

// newSwarms prepares what has its fields from home to metrics set.
func newSwarms(s *swarms) *swarms {
	s.changed, s.stale = make(chan struct{}, 1), make(chan struct{}, 1)
	s.members = map[string]*membership{}
	s.joined = make(chan struct{})
	return s
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
	defer beside.Wait()
	defer s.leaveAll()
	tick := time.NewTicker(speakEvery)
	defer tick.Stop()
	for {
		s.update(ctx)
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

// reasons says whether there is one to be in the public swarm.
func (s *swarms) reasons() bool {
	s.mu.Lock()
	wanted := s.wanted > 0
	s.mu.Unlock()
	if c := s.config.Get(); wanted || s.meshes.inviting(time.Now()) || c.Listens || len(c.Bootstrap) > 0 || len(s.policy.Get().Signers()) > 0 {
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
	for _, name := range s.meshes.names() {
		want[name] = true
	}
	outdated := map[*membership]bool{}
	for _, m := range s.all() {
		outdated[m] = s.outdated(m)
	}
	s.mu.Lock()
	var gone []*membership
	for name, m := range s.members {
		select {
		case <-m.left: // it ended by itself
			delete(s.members, name)
		default:
			if !want[name] || outdated[m] {
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

// outdated says whether a member of a mesh shows a credential that is not the newest: somebody was put out since.
func (s *swarms) outdated(m *membership) bool {
	if m.name == "" {
		return false
	}
	_, credential, _, err := s.meshes.show(m.name)
	return err == nil && string(credential) != m.shows
}

// join begins a membership.
func (s *swarms) join(ctx context.Context, name string) error {
	c := s.config.Get()
	y := &system{s: s, mesh: name}
	o := &swarm.Options{
		Key: s.key, System: y, Listen: c.Listen, Bootstrap: c.Bootstrap, MDNS: c.MDNS, Relay: c.Relay,
		Connections: c.Connections, Up: c.Up, Down: c.Down, Dir: filepath.Join(s.home.Swarm(), "public"),
		Signers: func() []protocol.Key { return s.policy.Get().Signers() }, Log: s.log, Metrics: s.metrics.registerer(name),
	}
	if name == "" {
		o.Invited = func(_ context.Context, key protocol.Key, request []byte) ([]byte, error) {
			return s.meshes.invited(key, request, s.addressesIn, time.Now())
		}
	} else {
		prefix, credential, addresses, err := s.meshes.show(name)
		if err != nil {
			return err
		}
		// The public swarm has the ports of the configuration.
		o.Prefix, o.Credential, o.Bootstrap, o.Listen = prefix, credential, addresses, anyPort(c.Listen)
		o.Relay, o.Dir = false, filepath.Join(s.home.Swarm(), "mesh-"+name)
		o.Admit = func(key protocol.Key, shown []byte) error { return s.meshes.admit(name, key, shown, time.Now()) }
	}
	w, err := swarm.New(o)
	if err != nil {
		return fmt.Errorf("join the swarm: %w", err)
	}
	ctx, leave := context.WithCancel(ctx)
	m := &membership{name: name, swarm: w, system: y, since: time.Now(), shows: string(o.Credential), leave: leave, left: make(chan struct{})}
	go func() {
		defer close(m.left)
		defer leave()
		if err := w.Run(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("the swarm ended", "swarm", name, "error", err)
			s.wake()
		}
	}()
	s.mu.Lock()
	s.members[name] = m
	close(s.joined)
	s.joined = make(chan struct{})
	s.mu.Unlock()
	s.news()
	s.log.Info("joined", "swarm", name, "addresses", w.Addresses())
	return nil
}

// anyPort returns multiaddrs with the ports left to the system.
func anyPort(listen []string) []string {
	port := regexp.MustCompile(`/(tcp|udp)/[0-9]+`)
	var free []string
	for _, a := range listen {
		if a = port.ReplaceAllString(a, "/$1/0"); !slices.Contains(free, a) {
			free = append(free, a)
		}
	}
	return free
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
		addresses[i] = a + "/p2p/" + m.swarm.ID()
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

// enter returns the public membership, which is begun if need be and does not end before release is called.
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
	late := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		m, joined := s.members[""], s.joined
		s.mu.Unlock()
		if m != nil {
			return m, release, nil
		}
		select {
		case <-joined:
		case <-late:
			release()
			return nil, nil, protocol.Errorf(protocol.Unavailable, "the swarm cannot be joined").WithHint("the daemon's log says why: nuka status")
		case <-ctx.Done():
			release()
			return nil, nil, ctx.Err()
		}
	}
}

// settled waits until a membership that has just begun has a peer, or has had the time to find one.
func (m *membership) settled(ctx context.Context) {
	for time.Since(m.since) < settle && len(m.swarm.Peers()) == 0 {
		select {
		case <-ctx.Done():
			return
		case <-m.left:
			return
		case <-time.After(20 * time.Millisecond):
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
				return s.sharing.arrived(ctx, id, m.name, root)
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
		err = s.heads.speak(ctx, s.store, s.key, said, time.Now())
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
		if s.sharing.Reach(b.PID) != Public {
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
