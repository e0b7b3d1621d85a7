package node

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/MordragT/nuka/internal/bounded"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
)

// A callLimit bounds the calls of one kind that a light peer with a ticket makes.
type callLimit struct {
	time     time.Duration
	atOnce   int   // calls of this kind by one ticket
	sent     int64 // bytes that the caller sends along, beside its arguments
	received int64 // bytes that it gets back, beside the result
}

// foreignLimits bounds each call that some right allows. Calls of the node's own user have no bounds.
var foreignLimits = map[protocol.Op]callLimit{
	protocol.OpStatus:    {time: 10 * time.Second, atOnce: 16},
	protocol.OpRealize:   {time: 24 * time.Hour, atOnce: 16, sent: 64 << 20},
	protocol.OpPlan:      {time: 10 * time.Minute, atOnce: 8, sent: 64 << 20},
	protocol.OpGet:       {time: 24 * time.Hour, atOnce: 16},
	protocol.OpPublished: {time: 2 * time.Hour, atOnce: 4},
	protocol.OpUpload:    {time: 2 * time.Hour, atOnce: 4, sent: 34 << 30},
	protocol.OpDescribe:  {time: time.Minute, atOnce: 64},
	protocol.OpList:      {time: 5 * time.Minute, atOnce: 8},
	protocol.OpProgram:   {time: 5 * time.Minute, atOnce: 8},
	protocol.OpFolder:    {time: time.Minute, atOnce: 64, received: 1 << 30}, // one for each folder that a program looks into
	// It reads the whole content of a package.
	protocol.OpInventory: {time: 5 * time.Minute, atOnce: 2, sent: 64 << 20, received: 1 << 30},
	protocol.OpLog:       {time: 10 * time.Minute, atOnce: 8, received: 1 << 30},
	protocol.OpRead:      {time: 2 * time.Hour, atOnce: 64, received: 64 << 30},
}

// foreignCalls counts the calls of light peers of other machines. The zero value is ready for use.
type foreignCalls struct {
	mu      sync.Mutex
	running map[foreignCall]int
}

type foreignCall struct {
	grant string
	op    protocol.Op
}

// begin applies the limits to a call, and returns its context. The caller calls release when the call has ended.
func (f *foreignCalls) begin(ctx context.Context, grant string, call *control.Call) (context.Context, func(), error) {
	limit, ok := foreignLimits[call.Op]
	if !ok {
		return nil, nil, protocol.Errorf(protocol.Denied, "call %q is not for tickets", call.Op)
	}
	kind := foreignCall{grant, call.Op}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running[kind] >= limit.atOnce {
		return nil, nil, protocol.Errorf(protocol.Busy, "%d calls %q by this ticket are under way", limit.atOnce, call.Op).
			WithHint("wait until one of them has ended")
	}
	if f.running == nil {
		f.running = map[foreignCall]int{}
	}
	f.running[kind]++
	exceeded := protocol.Errorf(protocol.Exhausted, "a ticket's call %q takes longer than %s", call.Op, limit.time)
	ctx, cancel := context.WithTimeoutCause(ctx, limit.time, exceeded)
	call.Data = &bounded.Reader{R: call.Data, Left: limit.sent, Over: protocol.Errorf(protocol.Exhausted, "it is more than a ticket's holder may send")}
	call.Reply = &boundedWriter{call.Reply, limit.received}
	return ctx, func() {
		cancel()
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.running[kind]--; f.running[kind] == 0 {
			delete(f.running, kind)
		}
	}, nil
}

// A boundedWriter fails when more is written than is left.
type boundedWriter struct {
	w    io.Writer
	left int64
}

func (b *boundedWriter) Write(p []byte) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, protocol.Errorf(protocol.Exhausted, "it is more than a ticket's holder may receive")
	}
	return b.w.Write(p)
}
