package node

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
	"github.com/MordragT/nuka/wasmrt"
)

// handler answers the calls of light peers.
type handler struct {
	store    *cas.Store
	realizer *realize.Realizer
	home     protocol.Home
	version  string
	key      protocol.Key
	private  ed25519.PrivateKey // key's
	policy   *policyFile
	config   *config.File
	grants   *control.Grants
	heads    *heads
	sharing  *sharing
	swarms   *swarms
	started  time.Time
	stop     func()

	foreign  foreignCalls
	calls    atomic.Int64 // that run
	lastCall atomic.Int64 // when the last one began or ended, in Unix nanoseconds
}

// watchIdle stops the daemon when there has been no call for so long and it shares nothing by name, or when its home is
// gone.
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
		idles := idle > 0 && quiet > idle && !h.sharing.any()
		if h.calls.Load() == 0 && (idles || errors.Is(gone, os.ErrNotExist)) {
			h.stop()
		}
	}
}

// Handle implements control.Handler.
func (h *handler) Handle(ctx context.Context, actor control.Actor, call *control.Call) (any, error) {
	if !actor.Local && !protocol.Allows(actor.May, call.Op) {
		return nil, protocol.Errorf(protocol.Denied, "this ticket does not allow %q: it allows %v", call.Op, actor.May).
			WithHint("ask the node's user for a ticket that does; only that user may change policy, keys and roots")
	}
	if !actor.Local {
		limited, release, err := h.foreign.begin(ctx, actor.Grant, call)
		if err != nil {
			return nil, err
		}
		defer release()
		ctx = limited
	}
	h.calls.Add(1)
	defer func() {
		h.lastCall.Store(time.Now().UnixNano())
		h.calls.Add(-1)
	}()
	switch call.Op {
	case protocol.OpStatus:
		return h.status(), nil
	case protocol.OpRealize:
		return with(call, func(a protocol.RealizeArgs) (any, error) {
			a.KeepFailed = a.KeepFailed && actor.Local // nobody else could look into the folder
			return h.realize(ctx, a, actor.Local, call.Event)
		})
	case protocol.OpPlan:
		return with(call, func(a protocol.RealizeArgs) (any, error) {
			return h.realizer.Plan(ctx, &realize.Request{Wanted: a.Wanted, Packages: a.Packages, Offline: a.Offline, Local: actor.Local})
		})
	case protocol.OpUpload:
		return h.upload(ctx, call.Data, actor.Local)
	case protocol.OpDescribe:
		return with(call, func(a protocol.PathArgs) (any, error) { return h.describe(ctx, a) })
	case protocol.OpFind:
		return with(call, func(a protocol.PathArgs) (any, error) { return h.find(ctx, a) })
	case protocol.OpList:
		return with(call, func(a protocol.PathArgs) (any, error) { return h.list(ctx, a) })
	case protocol.OpFolder:
		return with(call, func(a protocol.FolderArgs) (any, error) { return nil, h.folder(ctx, a, call.Reply) })
	case protocol.OpFiles:
		return with(call, func(a protocol.FilesArgs) (any, error) { return h.files(a) })
	case protocol.OpRead:
		return with(call, func(a protocol.PathArgs) (any, error) { return nil, h.read(ctx, a, call.Reply) })
	case protocol.OpLog:
		return with(call, func(a protocol.PathArgs) (any, error) { return nil, h.log(a, call.Reply) })
	case protocol.OpProgram:
		return with(call, func(a protocol.ProgramArgs) (any, error) { return h.program(ctx, a, actor.Local) })
	case protocol.OpVerify:
		return h.verify(ctx, call.Event)
	case protocol.OpStats:
		return h.stats(ctx)
	case protocol.OpTrust:
		return with(call, func(a protocol.TrustArgs) (any, error) { return h.trust(ctx, a) })
	case protocol.OpExplain:
		return with(call, func(a protocol.PathArgs) (any, error) { return h.explain(ctx, a) })
	case protocol.OpKey:
		return with(call, func(a protocol.KeyArgs) (any, error) { return h.keyCall(ctx, a) })
	case protocol.OpGrant:
		return with(call, func(a protocol.GrantArgs) (any, error) { return h.grant(a) })
	case protocol.OpShare:
		return with(call, func(a protocol.PathArgs) (any, error) { return h.share(ctx, a) })
	case protocol.OpGet:
		return with(call, func(a protocol.GetArgs) (any, error) { return h.get(ctx, a, call.Event) })
	case protocol.OpPeers:
		return h.swarms.Peers(), nil
	case protocol.OpSwarm:
		return with(call, func(a protocol.SwarmArgs) (any, error) { return h.swarm(ctx, a) })
	case protocol.OpMesh:
		return with(call, func(a protocol.MeshArgs) (any, error) { return h.mesh(ctx, a) })
	case protocol.OpStop:
		h.stop()
		return nil, nil
	}
	return nil, protocol.Errorf(protocol.Unsupported, "call %q is unknown to this daemon", call.Op).
		WithHint("the command and the daemon are of different versions: nuka daemon stop")
}

// with decodes a call's arguments.
func with[A any](call *control.Call, fn func(A) (any, error)) (any, error) {
	var args A
	if err := json.Unmarshal(call.Args, &args); err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "%s: arguments: %v", call.Op, err)
	}
	return fn(args)
}

func (h *handler) status() protocol.Status {
	return protocol.Status{
		Version: h.version, Home: h.home.Data, Key: h.key.String(), Process: os.Getpid(),
		Uptime: time.Since(h.started), Running: h.realizer.Running(), Confinement: wasmrt.Confinement(),
		MissingWalls: wasmrt.MissingWalls(), Partial: h.config.Get().Partial,
	}
}

// registriesOf returns the configuration of registries that comes with a request, or nil.
// Only the daemon's own user has a say in whom it asks, and with whose credentials.
func registriesOf(a protocol.RealizeArgs, local bool) (*source.Registries, error) {
	if !local || len(a.Registries) == 0 {
		return nil, nil
	}
	var r source.Registries
	if err := json.Unmarshal(a.Registries, &r); err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "the configuration of registries is malformed") // the error may quote a password
	}
	return &r, nil
}

func (h *handler) realize(ctx context.Context, a protocol.RealizeArgs, local bool, event func(protocol.Event)) (*protocol.Realized, error) {
	registries, err := registriesOf(a, local)
	if err != nil {
		return nil, err
	}
	return h.realizer.Realize(ctx, &realize.Request{
		Registries: registries,
		Wanted:     a.Wanted, Packages: a.Packages, Check: a.Check, KeepFailed: a.KeepFailed, Offline: a.Offline, Local: local, Event: event,
		Jobs: a.Jobs, Cores: a.Cores,
	})
}

// object finds what an id of a call names: a CID, a PID, or the unique beginning of a PID.
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

// content is object for calls that need content.
func (h *handler) content(id string) (pir.PID, cid.CID, error) {
	p, c, err := h.object(id)
	if err == nil && c.IsZero() {
		err = protocol.Errorf(protocol.NotFound, "%.60s is not in the store", id).WithHint("build it first: nuka build")
	}
	return p, c, err
}

// storeErr gives the store's errors their codes.
func storeErr(err error) error {
	switch {
	case errors.Is(err, cas.ErrNotFound):
		return protocol.Errorf(protocol.NotFound, "%v", err)
	case errors.Is(err, cas.ErrDamaged):
		return protocol.Errorf(protocol.Damaged, "%v", err).WithHint("it is in quarantine; build the package again to repair the store")
	}
	return err
}
