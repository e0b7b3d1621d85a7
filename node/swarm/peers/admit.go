package peers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/MordragT/nuka/protocol"
)

const (
	// MaxCredential bounds the bytes of a credential.
	MaxCredential = 16 << 10
	// greetTimeout is how long a peer may take to show its credential.
	greetTimeout = 10 * time.Second
	// shutOut is how long a peer is refused whose credential was refused, and brieflyOut how long one is refused with which the exchange
	// of credentials failed: it may have gone in the middle of it and come back.
	shutOut, brieflyOut = time.Minute, time.Second
)

var errNotAdmitted = errors.New("not admitted")

// A gate knows which peers are admitted. Each side of a connection shows its credential on a stream of its own, and all other streams wait
// until both have been taken. Without admit, the gate is open to every peer whose key is ed25519.
// It is the host's connection gater as well.
type gate struct {
	admit func(protocol.Key, []byte) ([]byte, error)

	mu     sync.Mutex
	guests map[peer.ID]*guest
	out    map[peer.ID]time.Time // until when peers are refused
}

// A guest is a connected peer.
type guest struct {
	credential []byte
	// in is closed when this node has taken the peer's credential, seen when the peer has taken ours, and gone when it has disconnected or
	// is refused.
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

// admitted reports whether a peer may be asked and answered.
func (h *Host) admitted(id peer.ID) bool {
	if h.gate.admit == nil {
		return true
	}
	v := h.gate.guest(id)
	select {
	case <-v.in:
		return true
	default:
		return false
	}
}

// greet shows the credential to every peer that connects, until ctx ends; stop must be called then.
func (h *Host) greet(ctx context.Context) (stop func()) {
	if h.gate.admit == nil {
		return func() {}
	}
	var greetings sync.WaitGroup
	notify := &network.NotifyBundle{
		ConnectedF: func(_ network.Network, c network.Conn) {
			id := c.RemotePeer()
			greetings.Go(func() {
				err := h.show(ctx, id)
				if err == nil {
					err = h.gate.wait(ctx, id)
				}
				if err != nil && ctx.Err() == nil {
					h.log.Debug("admit", "peer", id, "error", err)
					h.expel(id, brieflyOut)
				}
			})
		},
		DisconnectedF: func(_ network.Network, c network.Conn) {
			if !h.isConnected(c.RemotePeer()) {
				h.gate.leave(c.RemotePeer())
			}
		},
	}
	h.host.SetStreamHandler(h.protocol(protocol.MemberProtocol), func(st network.Stream) {
		if err := h.inspect(st); err != nil {
			abort(st)
			h.log.Debug("admit", "peer", st.Conn().RemotePeer(), "error", err)
			out := brieflyOut
			if errors.Is(err, errNotAdmitted) {
				out = shutOut
			}
			h.expel(st.Conn().RemotePeer(), out)
		}
	})
	h.host.Network().Notify(notify)
	for _, c := range h.host.Network().Conns() { // from before Run
		notify.ConnectedF(nil, c)
	}
	return func() {
		h.host.Network().StopNotify(notify)
		greetings.Wait()
	}
}

// expel ends the connections to a peer and refuses it for a while.
func (h *Host) expel(id peer.ID, out time.Duration) {
	h.gate.mu.Lock()
	if until := time.Now().Add(out); until.After(h.gate.out[id]) {
		h.gate.out[id] = until
	}
	h.gate.mu.Unlock()
	if err := h.host.Network().ClosePeer(id); err != nil {
		h.log.Debug("hang up", "peer", id, "error", err)
	}
	h.gate.leave(id)
}

// show shows the credential to a peer and waits until the peer has taken it.
func (h *Host) show(ctx context.Context, id peer.ID) error {
	v := h.gate.guest(id)
	st, err := h.open(ctx, id, protocol.MemberProtocol)
	if err != nil {
		return err
	}
	defer st.Reset(0)
	if err := st.SetDeadline(time.Now().Add(greetTimeout)); err != nil {
		return err
	}
	w := bufio.NewWriter(st)
	credential, err := h.o.Credential()
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
	if e == protocol.Plain && h.o.Renewed != nil {
		if err := h.o.Renewed(newer); err != nil {
			h.log.Warn("a newer credential", "peer", id, "error", err)
		}
	}
	h.gate.mu.Lock()
	defer h.gate.mu.Unlock()
	closeOnce(v.seen)
	return nil
}

// inspect answers a peer that shows its credential.
func (h *Host) inspect(st network.Stream) error {
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
		err = errors.New("it shows no credential")
	}
	var renewed []byte
	if err == nil {
		renewed, err = h.gate.admit(key, credential)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errNotAdmitted, err)
	}
	v := h.gate.guest(id)
	h.gate.mu.Lock()
	v.credential = credential
	closeOnce(v.in)
	h.gate.mu.Unlock()
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

// Renew shows the credential to all connected peers again, and expels those that would not be admitted any more. Call it when either may
// have changed. It does not wait.
func (h *Host) Renew() { signal(h.renewed) }

// signal sends unless a signal is waiting already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// keepAdmitted does what Renew asks for, and checks all credentials again from time to time, until ctx ends.
func (h *Host) keepAdmitted(ctx context.Context) {
	if h.gate.admit == nil {
		return
	}
	tick := time.NewTicker(keepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.lookAgain()
			continue
		case <-h.renewed:
		}
		h.lookAgain()
		var shows sync.WaitGroup
		for id := range h.gate.credentials() {
			shows.Go(func() {
				if err := h.show(ctx, id); err != nil && ctx.Err() == nil {
					h.log.Debug("show the new credential", "peer", id, "error", err)
				}
			})
		}
		shows.Wait()
	}
}

// lookAgain expels the peers that would not be admitted any more.
func (h *Host) lookAgain() {
	for id, credential := range h.gate.credentials() {
		key, err := keyOf(id)
		if err == nil {
			_, err = h.gate.admit(key, credential)
		}
		if err != nil {
			h.log.Info("a peer is not admitted any more", "peer", id, "error", err)
			h.expel(id, shutOut)
		}
	}
}

// credentials returns the credentials of the admitted peers.
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
