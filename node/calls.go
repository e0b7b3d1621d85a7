package node

import (
	"context"
	"encoding/json"
	"io"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
)

// A request is a call without its arguments.
type request struct {
	Local bool                 // the caller is the daemon's own user
	Here  bool                 // the caller is a user of this machine
	User  uint32               // the user of a system daemon who calls; 0 if Local
	Conn  context.Context      // ends with the caller's connection
	Event func(protocol.Event) // sends an event to the caller
	Data  io.Reader            // the bytes that the caller sends along
	Reply io.Writer            // the bytes that it gets back, beside the result
}

// calls has the function that answers each call.
var calls = map[protocol.Op]answer{
	protocol.OpStatus:    bare((*handler).status),
	protocol.OpRealize:   full((*handler).realize),
	protocol.OpPlan:      full((*handler).plan),
	protocol.OpCollect:   full((*handler).collect),
	protocol.OpWhy:       full((*handler).why),
	protocol.OpSize:      args((*handler).size),
	protocol.OpUpload:    bare((*handler).upload),
	protocol.OpDescribe:  args((*handler).describe),
	protocol.OpFind:      args((*handler).find),
	protocol.OpList:      args((*handler).list),
	protocol.OpFolder:    stream((*handler).folder),
	protocol.OpFiles:     args((*handler).files),
	protocol.OpRead:      stream((*handler).read),
	protocol.OpLog:       stream((*handler).buildLog),
	protocol.OpProgram:   full((*handler).program),
	protocol.OpVerify:    full((*handler).verify),
	protocol.OpStats:     bare((*handler).stats),
	protocol.OpTrust:     full((*handler).trust),
	protocol.OpExplain:   full((*handler).explain),
	protocol.OpKey:       args((*handler).keyCall),
	protocol.OpGrant:     args((*handler).grant),
	protocol.OpShare:     args((*handler).share),
	protocol.OpGet:       full((*handler).get),
	protocol.OpPublished: full((*handler).published),
	protocol.OpPeers:     bare((*handler).peers),
	protocol.OpSwarm:     args((*handler).swarm),
	protocol.OpMesh:      args((*handler).mesh),
	protocol.OpRoots:     full((*handler).roots),
	protocol.OpMount:     full((*handler).show),
	protocol.OpKeep:      full((*handler).keep),
	protocol.OpRecord:    full((*handler).record),
	protocol.OpInventory: full((*handler).inventory),
	protocol.OpStop:      bare((*handler).end),
}

// An answer decodes the arguments of a call and answers it.
type answer func(h *handler, ctx context.Context, r *request, op protocol.Op, text json.RawMessage) (any, error)

// bare answers a call without arguments.
func bare[R any](fn func(*handler, context.Context, *request) (R, error)) answer {
	return func(h *handler, ctx context.Context, r *request, _ protocol.Op, _ json.RawMessage) (any, error) {
		return fn(h, ctx, r)
	}
}

// args answers a call from its arguments alone.
func args[A, R any](fn func(*handler, context.Context, A) (R, error)) answer {
	return full(func(h *handler, ctx context.Context, _ *request, a A) (R, error) { return fn(h, ctx, a) })
}

// stream answers a call with bytes and no result.
func stream[A any](fn func(*handler, context.Context, io.Writer, A) error) answer {
	return full(func(h *handler, ctx context.Context, r *request, a A) (any, error) {
		return nil, fn(h, ctx, r.Reply, a)
	})
}

// full answers a call from its arguments and from the request of its caller.
func full[A, R any](fn func(*handler, context.Context, *request, A) (R, error)) answer {
	return func(h *handler, ctx context.Context, r *request, op protocol.Op, text json.RawMessage) (any, error) {
		var a A
		if err := json.Unmarshal(text, &a); err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "%s: arguments: %w", op, err)
		}
		return fn(h, ctx, r, a)
	}
}

// Handle implements control.Handler.
func (h *handler) Handle(ctx context.Context, actor control.Actor, call *control.Call) (any, error) {
	if !actor.Local && !protocol.Allows(actor.May, call.Op) {
		return nil, mayNot(&actor, call.Op)
	}
	if !actor.Here() {
		limited, release, err := h.foreign.begin(ctx, actor.Grant, call)
		if err != nil {
			return nil, err
		}
		defer release()
		ctx = limited
	}
	h.began()
	defer h.ended()
	fn, known := calls[call.Op]
	if !known {
		return nil, protocol.Errorf(protocol.Unsupported, "call %q is unknown to this daemon", call.Op).
			WithHint("the command and the daemon are of different versions: nuka daemon stop")
	}
	return fn(h, ctx, &request{Local: actor.Local, Here: actor.Here(), User: actor.User, Conn: call.Conn, Event: call.Event, Data: call.Data, Reply: call.Reply}, call.Op, call.Args)
}

// mayNot returns the error about a call for which a caller lacks the right.
func mayNot(actor *control.Actor, op protocol.Op) error {
	if actor.User != 0 {
		return protocol.Errorf(protocol.Denied, "the system daemon does not allow %q to user %d", op, actor.User).
			WithHint("ask the machine's administrator, or use a node of your own: set NUKA_HOME to a folder")
	}
	return protocol.Errorf(protocol.Denied, "this ticket does not allow %q: it allows %v", op, actor.May).
		WithHint("ask the node's user for a ticket that does; only that user may change policy, keys and roots")
}
