package node

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/MordragT/nuka/node/netd"
	"github.com/MordragT/nuka/node/swarm"
	"github.com/MordragT/nuka/node/swarm/peers"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// settle is how long a membership that has just begun may look for its first peer before somebody asks it.
const settle = 3 * time.Second

// A network is one swarm, in this process (swarm.Swarm) or in one of its own (netd.Daemon). Run ends with ctx, and everything
// with it; the other methods are what swarm.Swarm says.
type network interface {
	Run(ctx context.Context) error
	Statements(ctx context.Context, ids []pir.PID) ([]protocol.Attestation, error)
	PIRs(ctx context.Context, ids []pir.PID) (map[pir.PID][]byte, error)
	Fetch(ctx context.Context, root cid.CID, size int64, progress func(done, total int64)) error
	Announce(ids ...pir.PID)
	Connect(ctx context.Context, address string) error
	Join(ctx context.Context, ticket string, request []byte) ([]byte, error)
	Renew()
	Tell(ctx context.Context, head []byte)
	Peers() []protocol.Peer
	Addresses() []string
	Status() protocol.SwarmStatus
}

// A membership is one swarm that the node is in.
type membership struct {
	name   string
	prefix string // of the protocol ids of a mesh
	swarm  network
	system *system
	since  time.Time
	leave  context.CancelFunc
	left   chan struct{}
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

// join begins a membership.
func (s *swarms) join(ctx context.Context, name string) error {
	c := s.config.Get()
	y := &system{s: s, mesh: name}
	o := &swarm.Options{System: y, Up: c.Up, Down: c.Down, Metrics: s.metrics.registerer(name), Options: peers.Options{
		Key: s.key, Listen: c.Listen, Bootstrap: c.Bootstrap, MDNS: c.MDNS, Relay: c.Relay,
		Connections: c.Connections, Dir: filepath.Join(s.home.Swarm(), "public"),
		Signers: func() []protocol.Key { return s.policy.Get().Signers() }, Log: s.log,
	}}
	if name == "" {
		o.Invited = func(_ context.Context, key protocol.Key, request []byte) ([]byte, error) {
			return s.meshes.Invited(key, request, s.addressesIn, time.Now())
		}
	} else {
		prefix, addresses, err := s.meshes.Place(name)
		if err != nil {
			return err
		}
		// The public swarm has the ports of the configuration.
		o.Prefix, o.Bootstrap, o.Listen = prefix, addresses, anyPort(c.Listen)
		o.Relay, o.Dir = false, filepath.Join(s.home.Swarm(), "mesh-"+name)
		o.Credential = func() ([]byte, error) { return s.meshes.Credential(name) }
		o.Admit = func(key protocol.Key, shown []byte) ([]byte, error) {
			return s.meshes.Admit(name, key, shown, time.Now())
		}
		o.Renewed = func(credential []byte) error { return s.meshes.Renewed(name, credential, time.Now()) }
	}
	w, err := s.open(ctx, name, o)
	if err != nil {
		return fmt.Errorf("join the swarm: %w", err)
	}
	ctx, leave := context.WithCancel(ctx)
	m := &membership{name: name, prefix: o.Prefix, swarm: w, system: y, since: time.Now(), leave: leave, left: make(chan struct{})}
	go func() {
		defer close(m.left)
		defer s.metrics.forget(name)
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

// open opens a swarm, in a process of its own when that is how it is to be.
func (s *swarms) open(ctx context.Context, name string, o *swarm.Options) (network, error) {
	if !s.apart && !s.config.Get().Apart {
		return swarm.New(o)
	}
	o.Dir += ".net" // it belongs to the process
	if name == "" {
		name = "public"
	}
	return netd.Start(ctx, &netd.Options{Name: name, Swarm: o, Env: netdEnv})
}

// netdEnv are the variables of net daemons. quic-go's wish for larger socket buffers is for who runs a server.
var netdEnv = []string{"QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=true"}

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
