package swarms

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
	"github.com/MordragT/nuka/protocol"
)

// settle is the time in which a new membership may find its first peer before a call uses it.
const settle = 3 * time.Second

// A Membership is one swarm that the node is in.
type Membership struct {
	netd.Network
	name   string // of the mesh; "" is the public swarm
	prefix string // of the protocol ids of a mesh
	since  time.Time
	leave  context.CancelFunc
	left   chan struct{} // closed when it has ended
}

// settled waits until a new membership has a peer, or settle has passed.
func (m *Membership) settled(ctx context.Context) {
	for time.Since(m.since) < settle && len(m.Peers()) == 0 {
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
func (s *Set) join(ctx context.Context, name string) error {
	c := s.o.Config.Get()
	o := &swarm.Options{System: &system{s: s, mesh: name}, Up: c.Up, Down: c.Down, Metrics: s.o.Metrics.Registerer(name), Options: peers.Options{
		Key: s.o.Key, Listen: c.Listen, Bootstrap: c.Bootstrap, MDNS: c.MDNS, Relay: c.Relay,
		Connections: c.Connections, Dir: filepath.Join(s.o.Dir, "public"),
		Signers: func() []protocol.Key { return s.o.Policy.Get().Signers() }, Log: s.o.Log,
	}}
	if name == "" {
		o.Invited = func(_ context.Context, key protocol.Key, request []byte) ([]byte, error) {
			return s.o.Meshes.Invited(key, request, s.addressesIn, time.Now())
		}
	} else {
		prefix, addresses, err := s.o.Meshes.Place(name)
		if err != nil {
			return err
		}
		// The public swarm has the ports of the configuration.
		o.Prefix, o.Bootstrap, o.Listen = prefix, addresses, anyPort(c.Listen)
		o.Relay, o.Dir = false, filepath.Join(s.o.Dir, "mesh-"+name)
		o.Credential = func() ([]byte, error) { return s.o.Meshes.Credential(name) }
		o.Admit = func(key protocol.Key, shown []byte) ([]byte, error) {
			return s.o.Meshes.Admit(name, key, shown, time.Now())
		}
		o.Renewed = func(credential []byte) error { return s.o.Meshes.Renewed(name, credential, time.Now()) }
	}
	w, err := s.open(ctx, name, o)
	if err != nil {
		return fmt.Errorf("join the swarm: %w", err)
	}
	ctx, leave := context.WithCancel(ctx)
	m := &Membership{Network: w, name: name, prefix: o.Prefix, since: time.Now(), leave: leave, left: make(chan struct{})}
	go func() {
		defer close(m.left)
		defer s.o.Metrics.Forget(name)
		defer leave()
		if err := w.Run(ctx); err != nil && ctx.Err() == nil {
			s.o.Log.Error("the swarm ended", "swarm", name, "error", err)
			s.Wake()
		}
	}()
	s.mu.Lock()
	s.members[name] = m
	close(s.joined)
	s.joined = make(chan struct{})
	s.mu.Unlock()
	s.AskHeads()
	s.o.Log.Info("joined", "swarm", name, "addresses", w.Addresses())
	return nil
}

// open opens a swarm, in a process of its own if the options or the configuration say so.
func (s *Set) open(ctx context.Context, name string, o *swarm.Options) (netd.Network, error) {
	if !s.o.Apart && !s.o.Config.Get().Apart {
		return swarm.New(o)
	}
	o.Dir += ".net" // the process owns it
	if name == "" {
		name = "public"
	}
	return netd.Start(ctx, &netd.Options{Name: name, Swarm: o, Env: netdEnv})
}

// netdEnv are the variables of net daemons. quic-go's warning about small socket buffers is for servers.
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
