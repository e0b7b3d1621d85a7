package swarm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	p2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/MordragT/nuka/protocol"
)

const (
	// MaxCredential bounds the bytes of a credential.
	MaxCredential = 16 << 10
	// greetTimeout is how long a peer may take to show its credential.
	greetTimeout = 10 * time.Second
	// shutOut is how long a peer whose credential was refused is not listened to, and brieflyOut one with which it came to
	// nothing: it may have gone in the middle of it and come back.
	shutOut, brieflyOut = time.Minute, time.Second
	// preferDHT and preferUseful are how much a connection is worth to the connection manager.
	preferDHT, preferUseful = 5, 50
)

var errNotAdmitted = errors.New("not admitted")

// A gate keeps who is admitted. Both sides of a connection show their credential to the other on a stream of their own;
// what else they send waits until that is done. The zero Admit opens it for everybody whose key is ed25519.
// It is the host's connection gater as well.
type gate struct {
	admit func(protocol.Key, []byte) ([]byte, error)

	mu     sync.Mutex
	guests map[peer.ID]*guest
	out    map[peer.ID]time.Time // until when they are not listened to
}

// A guest is a connected peer.
type guest struct {
	credential []byte
	// in is closed when its credential was taken, seen when it has taken ours, and gone when it has gone or is shut out.
	in, seen, gone chan struct{}
}

func (g *gate) refuses(id peer.ID) bool {
	g.mu.Lock()
	until, out := g.out[id]
	if out && time.Now().After(until) {
		delete(g.out, id)
		out = false
	}
	g.mu.Unlock()
	if out {
		return true
	}
	_, err := keyOf(id)
	return err != nil
}

func (g *gate) InterceptPeerDial(id peer.ID) bool            { return !g.refuses(id) }
func (g *gate) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }
func (g *gate) InterceptAccept(network.ConnMultiaddrs) bool  { return true }
func (g *gate) InterceptSecured(_ network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	return !g.refuses(id)
}
func (g *gate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

// guest returns the state of a peer.
func (g *gate) guest(id peer.ID) *guest {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.guests[id]
	if v == nil {
		v = &guest{in: make(chan struct{}), seen: make(chan struct{}), gone: make(chan struct{})}
		g.guests[id] = v
	}
	return v
}

// leave forgets a peer.
func (g *gate) leave(id peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if v := g.guests[id]; v != nil {
		close(v.gone)
		delete(g.guests, id)
	}
}

// wait waits until the peer is admitted.
func (g *gate) wait(ctx context.Context, id peer.ID) error {
	if g.admit == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	v := g.guest(id)
	for _, done := range []chan struct{}{v.in, v.seen} {
		select {
		case <-done:
		case <-v.gone:
			return fmt.Errorf("peer %s: %w", id, errNotAdmitted)
		case <-ctx.Done():
			return fmt.Errorf("peer %s: %w: %w", id, errNotAdmitted, ctx.Err())
		}
	}
	return nil
}

// admitted says whether a peer may be asked and answered.
func (s *Swarm) admitted(id peer.ID) bool {
	if s.gate.admit == nil {
		return true
	}
	v := s.gate.guest(id)
	select {
	case <-v.in:
		return true
	default:
		return false
	}
}

// A guarded host lets no protocol speak with a peer before it is admitted.
type guarded struct {
	host.Host
	ctx  context.Context // ends with Run
	gate *gate
}

// ConnManager returns one that protects nobody: the DHT would protect whoever has settled near this node, which strangers can
// arrange, until there is no room for anybody else. What it protects has a preference instead.
func (h *guarded) ConnManager() connmgr.ConnManager { return modest{h.Host.ConnManager()} }

type modest struct{ connmgr.ConnManager }

func (m modest) Protect(id peer.ID, tag string) { m.TagPeer(id, tag, preferDHT) }

func (m modest) Unprotect(id peer.ID, tag string) bool {
	m.UntagPeer(id, tag)
	return false
}

func (h *guarded) guard(handler network.StreamHandler) network.StreamHandler {
	return func(st network.Stream) {
		if err := h.gate.wait(h.ctx, st.Conn().RemotePeer()); err != nil {
			abort(st)
			return
		}
		handler(st)
	}
}

func (h *guarded) SetStreamHandler(id p2pprotocol.ID, handler network.StreamHandler) {
	h.Host.SetStreamHandler(id, h.guard(handler))
}

func (h *guarded) SetStreamHandlerMatch(id p2pprotocol.ID, match func(p2pprotocol.ID) bool, handler network.StreamHandler) {
	h.Host.SetStreamHandlerMatch(id, match, h.guard(handler))
}

func (h *guarded) NewStream(ctx context.Context, id peer.ID, protocols ...p2pprotocol.ID) (network.Stream, error) {
	if h.gate.admit != nil {
		if err := h.Host.Connect(ctx, peer.AddrInfo{ID: id}); err != nil {
			return nil, err
		}
		if err := h.gate.wait(ctx, id); err != nil {
			return nil, err
		}
	}
	return h.Host.NewStream(ctx, id, protocols...)
}

// greet shows the credential to everybody who connects, until ctx ends; stop must be called then.
func (s *Swarm) greet(ctx context.Context) (stop func()) {
	if s.gate.admit == nil {
		return func() {}
	}
	var greetings sync.WaitGroup
	notify := &network.NotifyBundle{
		ConnectedF: func(_ network.Network, c network.Conn) {
			id := c.RemotePeer()
			greetings.Go(func() {
				err := s.show(ctx, id)
				if err == nil {
					err = s.gate.wait(ctx, id)
				}
				if err != nil && ctx.Err() == nil {
					s.log.Debug("admit", "peer", id, "error", err)
					s.expel(id, brieflyOut)
				}
			})
		},
		DisconnectedF: func(_ network.Network, c network.Conn) {
			if !s.isConnected(c.RemotePeer()) {
				s.gate.leave(c.RemotePeer())
			}
		},
	}
	s.host.SetStreamHandler(s.protocol(protocol.MemberProtocol), func(st network.Stream) {
		if err := s.inspect(st); err != nil {
			abort(st)
			s.log.Debug("admit", "peer", st.Conn().RemotePeer(), "error", err)
			out := brieflyOut
			if errors.Is(err, errNotAdmitted) {
				out = shutOut
			}
			s.expel(st.Conn().RemotePeer(), out)
		}
	})
	s.host.Network().Notify(notify)
	for _, c := range s.host.Network().Conns() { // from before Run
		notify.ConnectedF(nil, c)
	}
	return func() {
		s.host.Network().StopNotify(notify)
		greetings.Wait()
	}
}

// expel ends the connections to a peer and listens to it no more for a while.
func (s *Swarm) expel(id peer.ID, out time.Duration) {
	s.gate.mu.Lock()
	if until := time.Now().Add(out); until.After(s.gate.out[id]) {
		s.gate.out[id] = until
	}
	s.gate.mu.Unlock()
	if err := s.host.Network().ClosePeer(id); err != nil {
		s.log.Debug("hang up", "peer", id, "error", err)
	}
	s.gate.leave(id)
}

// show shows the credential to a peer and waits for its nod.
func (s *Swarm) show(ctx context.Context, id peer.ID) error {
	v := s.gate.guest(id)
	st, done, err := s.open(ctx, id, protocol.MemberProtocol)
	if err != nil {
		return err
	}
	defer done()
	if err := st.SetDeadline(time.Now().Add(greetTimeout)); err != nil {
		return err
	}
	w := bufio.NewWriter(st)
	credential, err := s.o.Credential()
	if err == nil && len(credential) > MaxCredential {
		err = fmt.Errorf("a credential of %d bytes, at most %d", len(credential), MaxCredential)
	}
	if err != nil {
		return err
	}
	if err := protocol.WriteAnswer(w, protocol.Plain, credential); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	e, newer, err := protocol.ReadAnswer(bufio.NewReader(st), nil, MaxCredential)
	if err == nil && e != protocol.End && e != protocol.Plain {
		err = fmt.Errorf("answer %d", e)
	}
	if err != nil {
		return fmt.Errorf("it does not take this node's credential: %w", err)
	}
	if e == protocol.Plain && s.o.Renewed != nil {
		if err := s.o.Renewed(newer); err != nil {
			s.log.Warn("a newer credential", "peer", id, "error", err)
		}
	}
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	closeOnce(v.seen)
	return nil
}

// inspect looks at the credential that a peer shows.
func (s *Swarm) inspect(st network.Stream) error {
	if err := st.SetDeadline(time.Now().Add(greetTimeout)); err != nil {
		return err
	}
	e, credential, err := protocol.ReadAnswer(bufio.NewReader(st), nil, MaxCredential)
	if err != nil {
		return err
	}
	id := st.Conn().RemotePeer()
	key, err := keyOf(id)
	if err == nil && e != protocol.Plain {
		err = errors.New("it shows nothing")
	}
	var renewed []byte
	if err == nil {
		renewed, err = s.gate.admit(key, credential)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errNotAdmitted, err)
	}
	v := s.gate.guest(id)
	s.gate.mu.Lock()
	v.credential = credential
	closeOnce(v.in)
	s.gate.mu.Unlock()
	w := bufio.NewWriter(st)
	answer := protocol.End
	if renewed != nil {
		answer = protocol.Plain
	}
	if err := protocol.WriteAnswer(w, answer, renewed); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return st.Close()
}

// closeOnce closes a channel unless it is closed. The caller holds the lock that guards it.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// Renew shows the credential again to everybody who is here, and expels those who would not be admitted any more:
// it is called when either may have changed. It does not wait.
func (s *Swarm) Renew() { signal(s.renewed) }

// signal sends unless a signal is waiting already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// keepAdmitted does what Renew asks for, and looks at everybody's credential again from time to time, until ctx ends.
func (s *Swarm) keepAdmitted(ctx context.Context) {
	if s.gate.admit == nil {
		return
	}
	tick := time.NewTicker(keepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.lookAgain()
			continue
		case <-s.renewed:
		}
		s.lookAgain()
		var shows sync.WaitGroup
		for id := range s.gate.credentials() {
			shows.Go(func() {
				if err := s.show(ctx, id); err != nil && ctx.Err() == nil {
					s.log.Debug("show the new credential", "peer", id, "error", err)
				}
			})
		}
		shows.Wait()
	}
}

// lookAgain expels those that would not be admitted any more.
func (s *Swarm) lookAgain() {
	for id, credential := range s.gate.credentials() {
		key, err := keyOf(id)
		if err == nil {
			_, err = s.gate.admit(key, credential)
		}
		if err != nil {
			s.log.Info("a peer is not admitted any more", "peer", id, "error", err)
			s.expel(id, shutOut)
		}
	}
}

// credentials returns what those who are here have shown.
func (g *gate) credentials() map[peer.ID][]byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	credentials := map[peer.ID][]byte{}
	for id, v := range g.guests {
		select {
		case <-v.in:
			credentials[id] = v.credential
		default:
		}
	}
	return credentials
}
