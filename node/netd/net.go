package netd

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"io"
	"iter"
	"log/slog"
	"os"
	"os/signal"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/MordragT/nuka/node/swarm"
	"github.com/MordragT/nuka/node/swarm/fetch"
	"github.com/MordragT/nuka/node/swarm/peers"
	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/wasmrt"
)

// Main runs a net daemon: it answers the calls of the system daemon on its standard input until that is closed.
func Main() error {
	// An interrupt at a terminal is for the system daemon, which then ends the net daemon.
	signal.Ignore(os.Interrupt)
	conn, err := wasmrt.Enter()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := &net{ctx: ctx, ended: make(chan error, 1)}
	n.link = newLink(conn, n.handlers(), 0)
	err = n.link.run(ctx, nil)
	cancel()
	if n.swarm != nil {
		err = errors.Join(ignoreEOF(err), <-n.ended)
	}
	return ignoreEOF(err)
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// net is the net daemon.
type net struct {
	link     *link
	ctx      context.Context // ends with the process
	swarm    *swarm.Swarm    // set by begin, before any other call
	registry *prometheus.Registry
	ended    chan error
}

func (n *net) handlers() map[string]handler {
	return map[string]handler{
		callBegin: with(n.begin),
		callStatements: with(func(ctx context.Context, a statementsArgs, _ []byte) (any, []byte, error) {
			said, err := n.swarm.Statements(ctx, a.PIDs)
			if err != nil {
				return nil, nil, err
			}
			var list lines
			for _, a := range said {
				b, err := a.Encode()
				if err != nil {
					return nil, nil, err
				}
				list.Lines = append(list.Lines, b)
			}
			return list, nil, nil
		}),
		callPIRs: with(func(ctx context.Context, a statementsArgs, _ []byte) (any, []byte, error) {
			pirs, err := n.swarm.PIRs(ctx, a.PIDs)
			if err != nil {
				return nil, nil, err
			}
			var list lines
			for _, b := range pirs {
				list.Lines = append(list.Lines, b)
			}
			return list, nil, nil
		}),
		callPublished: with(func(ctx context.Context, a headsArgs, _ []byte) (any, []byte, error) {
			heads, err := n.swarm.Published(ctx, a.Keys)
			return lines{heads}, nil, err
		}),
		callFetch: func(ctx context.Context, c *call) (any, []byte, error) {
			var a fetchArgs
			if err := c.read(&a); err != nil {
				return nil, nil, err
			}
			return nil, nil, n.swarm.Fetch(ctx, a.Root, a.Size, func(done, total int64) { _ = c.part(progress{done, total}) })
		},
		callAnnounce: func(context.Context, *call) (any, []byte, error) {
			n.swarm.Announce()
			return nil, nil, nil
		},
		callPeers:  func(context.Context, *call) (any, []byte, error) { return n.swarm.Peers(), nil, nil },
		callStatus: func(context.Context, *call) (any, []byte, error) { return n.swarm.Status(), nil, nil },
		callConnect: with(func(ctx context.Context, a addressArgs, _ []byte) (any, []byte, error) {
			return nil, nil, n.swarm.Connect(ctx, a.Address)
		}),
		callJoin: with(func(ctx context.Context, a addressArgs, request []byte) (any, []byte, error) {
			answer, err := n.swarm.Join(ctx, a.Address, request)
			return nil, answer, err
		}),
		callRenew: func(context.Context, *call) (any, []byte, error) {
			n.swarm.Renew()
			return nil, nil, nil
		},
		callTell: func(ctx context.Context, c *call) (any, []byte, error) {
			n.swarm.Tell(ctx, c.body)
			return nil, nil, nil
		},
		callGather: func(context.Context, *call) (any, []byte, error) {
			figures, err := gather(n.registry)
			return figures, nil, err
		},
		callPing: func(context.Context, *call) (any, []byte, error) { return nil, nil, nil },
	}
}

// begin joins the swarm.
func (n *net) begin(_ context.Context, a beginArgs, _ []byte) (any, []byte, error) {
	y := &remote{n.link}
	n.registry = prometheus.NewRegistry()
	o := &swarm.Options{System: y, Up: a.Up, Down: a.Down, Options: peers.Options{
		Key: &signer{n, a.Key}, Prefix: a.Prefix, Listen: a.Listen, Bootstrap: a.Bootstrap, MDNS: a.MDNS, Relay: a.Relay,
		Connections: a.Connections, Dir: ".", Log: slog.New(&logger{link: n.link, level: slog.Level(a.LogLevel)}),
		Signers: func() []protocol.Key {
			var keys headsArgs
			_, _ = n.link.call(n.ctx, callSigners, nil, &keys, nil, nil) // if there is no answer, this process ends
			return keys.Keys
		},
	}}
	if a.Measures {
		o.Metrics = n.registry
	}
	if a.Admits {
		o.Credential = func() ([]byte, error) { return n.link.call(n.ctx, callCredential, nil, nil, nil, nil) }
		o.Admit = func(key protocol.Key, credential []byte) ([]byte, error) {
			renewed, err := n.link.call(n.ctx, callAdmit, keyArgs{key}, nil, credential, nil)
			if len(renewed) == 0 {
				renewed = nil
			}
			return renewed, err
		}
		o.Renewed = func(credential []byte) error {
			_, err := n.link.call(n.ctx, callRenewed, nil, nil, credential, nil)
			return err
		}
	}
	if a.Invites {
		o.Invited = func(ctx context.Context, key protocol.Key, request []byte) ([]byte, error) {
			return n.link.call(ctx, callInvited, keyArgs{key}, nil, request, nil)
		}
	}
	s, err := swarm.New(o)
	if err != nil {
		return nil, nil, err
	}
	n.swarm = s
	go func() { n.ended <- s.Run(n.ctx) }()
	return begun{s.Listening()}, nil, nil
}

// gather reads the figures of a swarm.
func gather(r *prometheus.Registry) ([]figure, error) {
	families, err := r.Gather()
	var figures []figure
	for _, f := range families {
		for _, m := range f.GetMetric() {
			g := figure{Name: f.GetName(), Help: f.GetHelp(), Labels: map[string]string{}}
			for _, l := range m.GetLabel() {
				g.Labels[l.GetName()] = l.GetValue()
			}
			switch {
			case m.GetCounter() != nil:
				g.Counter, g.Value = true, m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				g.Value = m.GetGauge().GetValue()
			default:
				continue // a swarm has no other kinds
			}
			figures = append(figures, g)
		}
	}
	return figures, err
}

// A signer signs with the key of the system daemon, by a call.
type signer struct {
	net *net
	key protocol.Key
}

// Public implements crypto.Signer.
func (s *signer) Public() crypto.PublicKey { return ed25519.PublicKey(s.key[:]) }

// Sign implements crypto.Signer.
func (s *signer) Sign(_ io.Reader, message []byte, _ crypto.SignerOpts) ([]byte, error) {
	return s.net.link.call(s.net.ctx, callSign, nil, nil, message, nil)
}

// A logger sends records to the system daemon.
type logger struct {
	link  *link
	level slog.Level
	attrs []slog.Attr
}

func (l *logger) Enabled(_ context.Context, level slog.Level) bool { return level >= l.level }

func (l *logger) Handle(ctx context.Context, r slog.Record) error {
	a := logArgs{Level: int(r.Level), Message: r.Message, Attrs: map[string]string{}}
	add := func(at slog.Attr) bool { a.Attrs[at.Key] = at.Value.String(); return true }
	for _, at := range l.attrs {
		add(at)
	}
	r.Attrs(add)
	return l.link.send(kindCall, l.link.number(), head{Method: callLog}, a, nil) // without waiting for the reply
}

func (l *logger) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logger{l.link, l.level, append(l.attrs[:len(l.attrs):len(l.attrs)], attrs...)}
}

func (l *logger) WithGroup(string) slog.Handler { return l } // a swarm uses no groups

// remote is the swarm.System of the system daemon, which it calls over a link.
type remote struct{ link *link }

func (y *remote) Block(ctx context.Context, c cid.CID, to routing.Requester) ([]byte, error) {
	return y.link.call(ctx, callBlock, blockArgs{c, to}, nil, nil, nil)
}

func (y *remote) Statements(ctx context.Context, ids []pir.PID, to routing.Requester) ([][]byte, error) {
	var list lines
	_, err := y.link.call(ctx, callStatements, statementsArgs{ids, to}, &list, nil, nil)
	return list.Lines, err
}

func (y *remote) PIR(ctx context.Context, id pir.PID, to routing.Requester) ([]byte, error) {
	return y.link.call(ctx, callPIR, statementsArgs{[]pir.PID{id}, to}, nil, nil, nil)
}

func (y *remote) Heads(ctx context.Context, keys []protocol.Key) ([][]byte, error) {
	var list lines
	_, err := y.link.call(ctx, callHeads, headsArgs{keys}, &list, nil, nil)
	return list.Lines, err
}

func (y *remote) Published(ctx context.Context, keys []protocol.Key) ([][]byte, error) {
	var list lines
	_, err := y.link.call(ctx, callPublished, headsArgs{keys}, &list, nil, nil)
	return list.Lines, err
}

func (y *remote) LearnPublished(ctx context.Context, text []byte) error {
	_, err := y.link.call(ctx, callLearnNew, nil, nil, text, nil)
	return err
}

func (y *remote) Learn(ctx context.Context, text []byte) error {
	_, err := y.link.call(ctx, callLearn, nil, nil, text, nil)
	return err
}

func (y *remote) Shared(ctx context.Context) iter.Seq2[routing.Announcement, error] {
	return func(yield func(routing.Announcement, error) bool) {
		b, err := y.link.call(ctx, callShared, nil, nil, nil, nil)
		for err == nil && len(b) > 0 {
			var a routing.Announcement
			if a, b, err = readAnnouncement(b); err == nil && !yield(a, nil) {
				return
			}
		}
		if err != nil {
			yield(routing.Announcement{}, err)
		}
	}
}

func (y *remote) Receive(ctx context.Context, root cid.CID, size int64) (fetch.Receiver, error) {
	var a receiverArgs
	if _, err := y.link.call(ctx, callReceive, fetchArgs{root, size}, &a, nil, nil); err != nil {
		return nil, err
	}
	return &receiver{y.link, a.ID}, nil
}

// A receiver is a tree that the system daemon receives. If the system daemon has ended, this process ends too, so an empty result is harmless.
type receiver struct {
	link *link
	id   int64
}

func (r *receiver) call(method string, from int, result any) []byte {
	b, err := r.link.call(context.Background(), method, receiverArgs{r.id, from}, result, nil, nil)
	if err != nil {
		return nil
	}
	return b
}

func (r *receiver) WantNodes() []cid.CID {
	var list cids
	r.call(callWantNodes, 0, &list)
	return list.CIDs
}

func (r *receiver) WantLeaves() []cid.Leaf {
	var all []cid.Leaf
	for {
		b := r.call(callWantLeaves, len(all), nil)
		before := len(all)
		for len(b) > 0 {
			l, rest, err := readLeaf(b)
			if err != nil {
				return all
			}
			all, b = append(all, l), rest
		}
		if len(all)-before < maxLeaves {
			return all
		}
	}
}

func (r *receiver) Put(b cid.Block) error {
	_, err := r.link.call(context.Background(), callPut, putArgs{r.id, b.CID}, nil, b.Data, nil)
	return err
}

func (r *receiver) Progress() (done, total int64) {
	var p progress
	r.call(callProgress, 0, &p)
	return p.Done, p.Total
}

func (r *receiver) Finish(ctx context.Context) error {
	_, err := r.link.call(ctx, callFinish, receiverArgs{ID: r.id}, nil, nil, nil)
	return err
}

func (r *receiver) Close() error {
	_, err := r.link.call(context.Background(), callClose, receiverArgs{ID: r.id}, nil, nil, nil)
	return err
}
