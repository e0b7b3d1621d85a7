package node

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/node/mesh"
	"github.com/MordragT/nuka/node/published"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/node/sharing"
	"github.com/MordragT/nuka/node/swarms"
	"github.com/MordragT/nuka/node/trust"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
	"github.com/MordragT/nuka/wasmrt"
)

// handler answers the calls of light peers.
type handler struct {
	store          *cas.Store
	realizer       *realize.Realizer
	fetcher        *source.Fetcher
	home           protocol.Home
	version        string
	key            protocol.Key
	private        ed25519.PrivateKey // key's
	policy         *trust.Policy
	config         *config.File
	grants         *control.Grants
	heads          *trust.Heads
	publishedHeads *published.Heads // of feeds and package sets
	sharing        *sharing.Sharing
	swarms         *swarms.Set
	meshes         *mesh.Meshes
	surface        *surface
	mount          Mount
	damaged        chan struct{} // a file was set aside
	callEnded      chan struct{}
	repairing      sync.Mutex
	log            *slog.Logger
	started        time.Time
	stop           func()

	foreign  foreignCalls
	usersMu  sync.Mutex
	users    map[uint32]*trust.Policy // of the users of a system daemon who have called; guarded by usersMu
	calls    atomic.Int64             // running now
	lastCall atomic.Int64             // when the last one began or ended, in Unix nanoseconds
}

// watchIdle stops the daemon after a time without calls if it shares nothing by name, publishes nothing, and no program has files of the mount open,
// or when its home is gone.
func (h *handler) watchIdle(ctx context.Context, idle time.Duration) {
	h.lastCall.Store(time.Now().UnixNano())
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		quiet := time.Since(time.Unix(0, h.lastCall.Load()))
		_, gone := os.Stat(h.home.NodeKey())
		idles := idle > 0 && quiet > idle && !h.sharing.Any() && len(h.publishedHeads.Publishes()) == 0 && !h.surface.inUse()
		if h.calls.Load() == 0 && (idles || errors.Is(gone, os.ErrNotExist)) {
			h.stop()
		}
	}
}

// began and ended count a call that runs.
func (h *handler) began() { h.calls.Add(1) }

func (h *handler) ended() {
	h.lastCall.Store(time.Now().UnixNano())
	h.calls.Add(-1)
	select {
	case h.callEnded <- struct{}{}:
	default:
	}
}

func (h *handler) status(context.Context, *request) (*protocol.Status, error) {
	return &protocol.Status{
		Version: h.version, Home: h.home.Data, Key: h.key.String(), Process: os.Getpid(),
		Uptime: time.Since(h.started), Running: h.realizer.Running(), Confinement: wasmrt.Confinement(),
		MissingWalls: wasmrt.MissingWalls(), Partial: h.config.Get().Partial, Mount: h.surface.state(),
	}, nil
}

// registriesOf returns the configuration of registries that a request has, or nil.
// Only a user of this machine chooses which registries the daemon asks, and with which credentials.
func registriesOf(a protocol.RealizeArgs, here bool) (*source.Registries, error) {
	if !here || len(a.Registries) == 0 {
		return nil, nil
	}
	var r source.Registries
	if err := json.Unmarshal(a.Registries, &r); err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "the configuration of registries is malformed") // the error may quote a password
	}
	return &r, nil
}

func (h *handler) realize(ctx context.Context, r *request, a protocol.RealizeArgs) (*protocol.Realized, error) {
	registries, err := registriesOf(a, r.Here)
	if err != nil {
		return nil, err
	}
	if err := checkRoots(a.Roots, r.Here); err != nil {
		return nil, err
	}
	if err := a.Receive(r.Data); err != nil {
		return nil, err
	}
	realizer, err := h.realizerOf(r)
	if err != nil {
		return nil, err
	}
	lease := h.store.Lease("a request to realize packages")
	defer lease.Release()
	realized, err := realizer.Realize(ctx, &realize.Request{
		Registries: registries, Lease: lease,
		Wanted: a.Wanted, Packages: a.Packages, Check: a.Check, Offline: a.Offline, Local: r.Local, Event: r.Event,
		KeepFailed: a.KeepFailed && r.Local, // other callers cannot look into the folder
		Jobs:       a.Jobs, Cores: a.Cores,
	})
	if err == nil && len(a.Roots) > 0 {
		err = h.changeRoots(ctx, r, a.Roots, nil)
	}
	if err != nil {
		return nil, err
	}
	h.keepForCaller(r, "a command that has realized it").KeepPIDs(a.Wanted...)
	return realized, nil
}

func (h *handler) plan(ctx context.Context, r *request, a protocol.RealizeArgs) (*protocol.Plan, error) {
	if err := a.Receive(r.Data); err != nil {
		return nil, err
	}
	realizer, err := h.realizerOf(r)
	if err != nil {
		return nil, err
	}
	return realizer.Plan(ctx, &realize.Request{Wanted: a.Wanted, Packages: a.Packages, Offline: a.Offline, Local: r.Local})
}

// peers answers OpPeers.
func (h *handler) peers(context.Context, *request) ([]protocol.Peer, error) {
	return h.swarms.Peers(), nil
}

// end answers OpStop: the daemon ends when its calls have ended.
func (h *handler) end(context.Context, *request) (any, error) {
	h.stop()
	return nil, nil
}

// object returns the PID and the CID that an id of a call names: a CID, a PID, or the unique beginning of a PID.
func (h *handler) object(id string) (p pir.PID, c cid.CID, err error) {
	if c, err = cid.Parse(id); err == nil {
		return pir.PID{}, c, nil
	}
	if p, err = pir.ParsePID(id); err == nil {
		c, err = h.store.CID(p)
		if errors.Is(err, cas.ErrNotFound) {
			err = nil // its description may still be known
		}
		return p, c, err
	}
	if len(id) < 4 || len(id) >= pir.PIDLen {
		return pir.PID{}, cid.CID{}, protocol.Errorf(protocol.Invalid, "%.80q is neither a PID or CID nor the first 4 or more characters of a PID", id).
			WithHint("nuka build prints both")
	}
	var found []cas.Binding
	for b, err := range h.store.Bindings() {
		if err != nil {
			return pir.PID{}, cid.CID{}, err
		}
		if strings.HasPrefix(b.PID.String(), id) {
			found = append(found, b)
		}
	}
	switch len(found) {
	case 0:
		return pir.PID{}, cid.CID{}, protocol.Errorf(protocol.NotFound, "nothing in the store begins with %q", id)
	case 1:
		return found[0].PID, found[0].CID, nil
	}
	return pir.PID{}, cid.CID{}, protocol.Errorf(protocol.Invalid, "%d PIDs begin with %q", len(found), id).WithHint("give more characters")
}

// content is object for calls that need content. protocol.NotFound: there is none.
func (h *handler) content(id string) (pir.PID, cid.CID, error) {
	p, c, err := h.object(id)
	if err == nil && c.IsZero() {
		err = protocol.Errorf(protocol.NotFound, "%.60s is not in the store", id).WithHint("build it first: nuka build PKG")
	}
	return p, c, err
}
