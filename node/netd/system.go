package netd

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/MordragT/nuka/node/swarm"
	"github.com/MordragT/nuka/node/swarm/fetch"
	"github.com/MordragT/nuka/node/swarm/peers"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// served answers the calls of one net daemon.
type served struct {
	o   *swarm.Options
	log *slog.Logger

	mu        sync.Mutex
	last      int64
	receivers map[int64]*receiving
}

// A receiving is a tree that the net daemon receives.
type receiving struct {
	fetch.Receiver

	mu     sync.Mutex
	leaves []cid.Leaf // since the first wantLeaves
}

// wantLeaves returns the missing leaves from a position on, at most maxLeaves of them.
func (r *receiving) wantLeaves(from int) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if from == 0 {
		r.leaves = r.WantLeaves()
	}
	var b []byte
	from = min(max(from, 0), len(r.leaves))
	for _, l := range r.leaves[from:min(from+maxLeaves, len(r.leaves))] {
		b = appendLeaf(b, l)
	}
	return b
}

// maxReceivers bounds the trees that one net daemon receives at the same time.
const maxReceivers = 1024

func publicKey(key crypto.Signer) protocol.Key {
	public, _ := key.Public().(ed25519.PublicKey)
	if len(public) != ed25519.PublicKeySize {
		return protocol.Key{}
	}
	return protocol.Key(public)
}

// with turns a function with arguments into a handler.
func with[A any](f func(ctx context.Context, args A, body []byte) (any, []byte, error)) handler {
	return func(ctx context.Context, c *call) (any, []byte, error) {
		var args A
		if err := c.read(&args); err != nil {
			return nil, nil, err
		}
		return f(ctx, args, c.body)
	}
}

// handlers has the function that answers each call of the net daemon.
func (s *served) handlers() map[string]handler {
	all := s.systemHandlers()
	maps.Copy(all, s.memberHandlers())
	maps.Copy(all, s.receiveHandlers())
	return all
}

// systemHandlers answers the calls of the node's swarm.System.
func (s *served) systemHandlers() map[string]handler {
	y := s.o.System
	return map[string]handler{
		callBlock: with(func(ctx context.Context, a blockArgs, _ []byte) (any, []byte, error) {
			b, err := y.Block(ctx, a.CID, a.Requester)
			return nil, b, err
		}),
		callStatements: with(func(ctx context.Context, a statementsArgs, _ []byte) (any, []byte, error) {
			list, err := y.Statements(ctx, a.PIDs, a.Requester)
			return lines{list}, nil, err
		}),
		callPIR: with(func(ctx context.Context, a statementsArgs, _ []byte) (any, []byte, error) {
			if len(a.PIDs) != 1 {
				return nil, nil, protocol.Errorf(protocol.Invalid, "a PIR of %d packages", len(a.PIDs))
			}
			b, err := y.PIR(ctx, a.PIDs[0], a.Requester)
			return nil, b, err
		}),
		callHeads: with(func(ctx context.Context, a headsArgs, _ []byte) (any, []byte, error) {
			list, err := y.Heads(ctx, a.Keys)
			return lines{list}, nil, err
		}),
		callLearn: func(ctx context.Context, c *call) (any, []byte, error) { return nil, nil, y.Learn(ctx, c.body) },
		callPublished: with(func(ctx context.Context, a headsArgs, _ []byte) (any, []byte, error) {
			list, err := y.Published(ctx, a.Keys)
			return lines{list}, nil, err
		}),
		callLearnNew: func(ctx context.Context, c *call) (any, []byte, error) {
			return nil, nil, y.LearnPublished(ctx, c.body)
		},
		callShared: func(ctx context.Context, _ *call) (any, []byte, error) {
			var all []byte
			for a, err := range y.Shared(ctx) {
				if err != nil {
					return nil, nil, err
				}
				all = appendAnnouncement(all, a)
			}
			return nil, all, nil
		},
	}
}

// memberHandlers answers the calls of the functions and the key in the options of the swarm.
func (s *served) memberHandlers() map[string]handler {
	return map[string]handler{
		callSigners: func(context.Context, *call) (any, []byte, error) {
			if s.o.Signers == nil {
				return headsArgs{}, nil, nil
			}
			return headsArgs{s.o.Signers()}, nil, nil
		},
		callSign:       s.sign,
		callCredential: s.credential,
		callAdmit: with(func(_ context.Context, a keyArgs, credential []byte) (any, []byte, error) {
			if s.o.Admit == nil {
				return nil, nil, nil
			}
			renewed, err := s.o.Admit(a.Key, credential)
			return nil, renewed, err
		}),
		callRenewed: func(_ context.Context, c *call) (any, []byte, error) {
			if s.o.Renewed == nil {
				return nil, nil, nil
			}
			return nil, nil, s.o.Renewed(c.body)
		},
		callInvited: with(func(ctx context.Context, a keyArgs, request []byte) (any, []byte, error) {
			if s.o.Invited == nil {
				return nil, nil, protocol.Errorf(protocol.Denied, "this swarm has no invitations")
			}
			answer, err := s.o.Invited(ctx, a.Key, request)
			return nil, answer, err
		}),
		callLog: with(func(ctx context.Context, a logArgs, _ []byte) (any, []byte, error) {
			attrs := []any{"swarm", s.o.Dir}
			for _, name := range slices.Sorted(maps.Keys(a.Attrs)) {
				attrs = append(attrs, name, a.Attrs[name])
			}
			s.log.Log(ctx, slog.Level(a.Level), a.Message, attrs...)
			return nil, nil, nil
		}),
	}
}

// receiveHandlers answers the calls about trees that the net daemon receives.
func (s *served) receiveHandlers() map[string]handler {
	return map[string]handler{
		callReceive: with(s.receive),
		callWantNodes: s.receiver(func(_ context.Context, r *receiving, _ int) (any, []byte, error) {
			return cids{r.WantNodes()}, nil, nil
		}),
		callWantLeaves: s.receiver(func(_ context.Context, r *receiving, from int) (any, []byte, error) {
			return nil, r.wantLeaves(from), nil
		}),
		callPut: with(func(_ context.Context, a putArgs, b []byte) (any, []byte, error) {
			r, err := s.find(a.ID)
			if err != nil {
				return nil, nil, err
			}
			return nil, nil, r.Put(cid.Block{CID: a.CID, Data: b})
		}),
		callProgress: s.receiver(func(_ context.Context, r *receiving, _ int) (any, []byte, error) {
			done, total := r.Progress()
			return progress{done, total}, nil, nil
		}),
		callFinish: s.receiver(func(ctx context.Context, r *receiving, _ int) (any, []byte, error) {
			return nil, nil, r.Finish(ctx)
		}),
		callClose: with(func(_ context.Context, a receiverArgs, _ []byte) (any, []byte, error) {
			r, err := s.find(a.ID)
			if err != nil {
				return nil, nil, err
			}
			s.mu.Lock()
			delete(s.receivers, a.ID)
			s.mu.Unlock()
			return nil, nil, r.Close()
		}),
	}
}

// sign signs messages of a peer, and refuses to sign statements and heads of a signer.
func (s *served) sign(_ context.Context, c *call) (any, []byte, error) {
	if !peers.MaySign(c.body) {
		return nil, nil, protocol.Errorf(protocol.Denied, "a net daemon gets no signature under %.40q", c.body)
	}
	signature, err := s.o.Key.Sign(nil, c.body, crypto.Hash(0))
	return nil, signature, err
}

func (s *served) credential(context.Context, *call) (any, []byte, error) {
	if s.o.Credential == nil {
		return nil, nil, protocol.Errorf(protocol.Invalid, "this swarm shows no credential")
	}
	credential, err := s.o.Credential()
	return nil, credential, err
}

func (s *served) receive(ctx context.Context, a fetchArgs, _ []byte) (any, []byte, error) {
	r, err := s.o.System.Receive(ctx, a.Root, a.Size)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.receivers) >= maxReceivers {
		return nil, nil, fmt.Errorf("more than %d trees at a time: %w", maxReceivers, r.Close())
	}
	if s.receivers == nil {
		s.receivers = map[int64]*receiving{}
	}
	s.last++
	s.receivers[s.last] = &receiving{Receiver: r}
	return receiverArgs{ID: s.last}, nil, nil
}

func (s *served) find(id int64) (*receiving, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.receivers[id]
	if r == nil {
		return nil, fmt.Errorf("no tree is received as %d", id)
	}
	return r, nil
}

// receiver turns a function on a tree that is being received into a handler.
func (s *served) receiver(f func(ctx context.Context, r *receiving, from int) (any, []byte, error)) handler {
	return with(func(ctx context.Context, a receiverArgs, _ []byte) (any, []byte, error) {
		r, err := s.find(a.ID)
		if err != nil {
			return nil, nil, err
		}
		return f(ctx, r, a.From)
	})
}

// close ends the trees that the net daemon received. The store keeps their blocks for the next one.
func (s *served) close() {
	s.mu.Lock()
	receivers := s.receivers
	s.receivers = nil
	s.mu.Unlock()
	for _, r := range receivers {
		if err := r.Close(); err != nil {
			s.log.Warn("end what a net daemon received", "error", err)
		}
	}
}

// measure registers the figures of a net daemon.
func (d *Daemon) measure() error {
	if d.o.Metrics == nil {
		return nil
	}
	return d.o.Metrics.Register(gatherer{d})
}

// A gatherer asks a net daemon for its figures.
type gatherer struct{ d *Daemon }

// Describe implements prometheus.Collector. It describes nothing, because the figures are not known in advance.
func (gatherer) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (g gatherer) Collect(to chan<- prometheus.Metric) {
	var figures []figure
	g.d.ask(callGather, &figures)
	for _, f := range figures {
		kind := prometheus.GaugeValue
		if f.Counter {
			kind = prometheus.CounterValue
		}
		m, err := prometheus.NewConstMetric(prometheus.NewDesc(f.Name, f.Help, nil, f.Labels), kind, f.Value)
		if err != nil {
			m = prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
		}
		to <- m
	}
}
