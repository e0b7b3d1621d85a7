package wasmrt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// ReactorConfig is the environment of a reactor; nil is all zero.
type ReactorConfig struct {
	// Name appears in errors; empty is "reactor".
	Name string
	// FS is the file system that the reactor sees; nil has only /dev. Dir is its working directory; empty is "/".
	FS  *FS
	Dir string
	Env []string
	// Host answers calls of nuka.host. It runs on the goroutine of Call, with the context of that call.
	// It must not keep req. If Host is nil, every call gets an empty answer.
	Host           func(ctx context.Context, req []byte) []byte
	Stdout, Stderr io.Writer
	// MemoryLimit is how many bytes of linear memory the reactor may use; zero is 1 GiB.
	MemoryLimit int64
}

// A Reactor is an instance of a module that answers calls.
// The module exports nk_alloc(size) → ptr, nk_free(ptr, size) and nk_call(ptr, size) → ptr<<32|size, and may export
// _initialize. It may import host(ptr, size) → ptr<<32|size from "nuka".
// A request lies in a buffer from nk_alloc; the sender frees it after the call. The receiver frees the answer.
// Calls run one at a time. A reactor sees the fixed clock, and the context of a call can end the call at any time.
type Reactor struct {
	mu     sync.Mutex
	proc   *proc
	mod    api.Module
	budget *memoryBudget
	err    error // why the reactor is unusable
}

// DefaultReactorMemory is the memory limit, in bytes, of a reactor without one.
const DefaultReactorMemory = 1 << 30

// maxMessage is the maximum length of a request or an answer.
const maxMessage = 256 << 20

// Instantiate starts a reactor. The caller closes it.
func (r *Runtime) Instantiate(ctx context.Context, m *Module, o *ReactorConfig) (_ *Reactor, err error) {
	if o == nil {
		o = &ReactorConfig{}
	}
	name := o.Name
	if name == "" {
		name = "reactor"
	}
	c, err := m.variant(ctx, true)
	if err != nil {
		return nil, fmt.Errorf("program %q: %w", name, err)
	}
	p, err := newProc(ctx, &Program{
		Module: m, Args: []string{name}, Env: o.Env, FS: o.FS, Dir: o.Dir, Stdout: o.Stdout, Stderr: o.Stderr,
	}, name)
	if err != nil {
		return nil, fmt.Errorf("program %q: %w", name, err)
	}
	p.host = o.Host
	x := &Reactor{proc: p, budget: &memoryBudget{limit: o.MemoryLimit}}
	if x.budget.limit <= 0 {
		x.budget.limit = DefaultReactorMemory
	}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(error)
			if !ok {
				e = fmt.Errorf("%v", r)
			}
			err = p.trap(e, x.budget)
		}
		if err != nil {
			p.closeAll()
		}
	}()
	ctx = experimental.WithMemoryAllocator(ctx, x.budget)
	ctx = context.WithValue(ctx, procKey{}, p)
	x.mod, err = c.rt.InstantiateModule(ctx, c.code, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
	if err != nil {
		return nil, p.trap(err, x.budget)
	}
	for _, f := range []string{"nk_alloc", "nk_free", "nk_call"} {
		if x.mod.ExportedFunction(f) == nil {
			_ = x.mod.Close(context.WithoutCancel(ctx))
			return nil, fmt.Errorf("program %q: does not export %s", name, f)
		}
	}
	return x, nil
}

// Call sends a request and returns the answer.
// After an error the reactor is unusable. The cause is a trap, the memory limit, or ctx, which ends even an endless loop.
func (x *Reactor) Call(ctx context.Context, req []byte) (answer []byte, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		return nil, x.err
	}
	x.proc.ctx = ctx
	defer context.AfterFunc(ctx, func() { x.proc.stop.Store(true) })()
	answer, err = x.call(context.WithValue(ctx, procKey{}, x.proc), req)
	if err != nil {
		err = x.failure(ctx, err)
		x.drop(err)
	}
	return answer, err
}

func (x *Reactor) failure(ctx context.Context, err error) error {
	// wazero watches the context itself, and may notice its end a moment before or after this code.
	code, exited := exitCode(err)
	if exited && ctx.Err() == nil && code != 0 && uint32(code) >= 0xefffffff {
		if at, ok := ctx.Deadline(); ok && time.Until(at) <= 0 {
			<-ctx.Done()
		}
	}
	switch {
	case ctx.Err() != nil:
		return &TrapError{Program: x.proc.name, Reason: "stopped: " + context.Cause(ctx).Error(), err: context.Cause(ctx)}
	case exited:
		return &TrapError{Program: x.proc.name, Reason: fmt.Sprintf("exited with code %d", code)}
	}
	return x.proc.trap(err, x.budget)
}

func (x *Reactor) call(ctx context.Context, req []byte) ([]byte, error) {
	ptr, err := x.put(ctx, req)
	if err != nil {
		return nil, err
	}
	res, err := x.mod.ExportedFunction("nk_call").Call(ctx, uint64(ptr), uint64(len(req)))
	if err != nil {
		return nil, err
	}
	if _, err := x.mod.ExportedFunction("nk_free").Call(ctx, uint64(ptr), uint64(len(req))); err != nil {
		return nil, err
	}
	at, n := uint32(res[0]>>32), uint32(res[0])
	if n > maxMessage {
		return nil, fmt.Errorf("answer of %d bytes", n)
	}
	b, e := memory{x.mod.Memory()}.bytes(uint64(at), uint64(n))
	if e != eOK {
		return nil, errors.New("answer lies outside of its memory")
	}
	b = append([]byte(nil), b...)
	if _, err := x.mod.ExportedFunction("nk_free").Call(ctx, uint64(at), uint64(n)); err != nil {
		return nil, err
	}
	return b, nil
}

func (x *Reactor) put(ctx context.Context, b []byte) (uint32, error) {
	return putMessage(ctx, x.mod, b)
}

// putMessage copies a message into a buffer that the module allocates.
func putMessage(ctx context.Context, mod api.Module, b []byte) (uint32, error) {
	if len(b) > maxMessage {
		return 0, fmt.Errorf("message of %d bytes", len(b))
	}
	alloc := mod.ExportedFunction("nk_alloc")
	if alloc == nil {
		return 0, errors.New("does not export nk_alloc")
	}
	res, err := alloc.Call(ctx, uint64(len(b)))
	if err != nil {
		return 0, err
	}
	if len(res) != 1 || mod.Memory() == nil || !mod.Memory().Write(uint32(res[0]), b) {
		return 0, errors.New("nk_alloc answers with no buffer")
	}
	return uint32(res[0]), nil
}

// hostCall is the import nuka.host.
func hostCall(ctx context.Context, mod api.Module, stack []uint64) {
	p, ok := ctx.Value(procKey{}).(*proc)
	if img, in := ctx.Value(procKey{}).(*image); in {
		p, ok = img.enter(), true
	}
	if !ok || p.stop.Load() {
		panic(errStopped)
	}
	req, e := memory{mod.Memory()}.bytes(stack[0], stack[1])
	if e != eOK || len(req) > maxMessage {
		panic(errors.New("request to the host lies outside of its memory"))
	}
	// The request is copied, since allocating the answer may move the memory.
	req = append([]byte(nil), req...)
	stack[0] = 0
	if p.host == nil {
		return
	}
	answer := p.host(ctx, req)
	ptr, err := putMessage(ctx, mod, answer)
	if err != nil {
		panic(err)
	}
	stack[0] = uint64(ptr)<<32 | uint64(len(answer))
}

// drop frees the reactor's resources and records err. The caller holds x.mu.
func (x *Reactor) drop(err error) {
	if x.err == nil {
		x.err = err
		_ = x.mod.Close(context.Background())
		x.proc.closeAll()
	}
}

// ErrReactorClosed is the error of calls to a closed reactor.
var ErrReactorClosed = errors.New("reactor is closed")

// Close ends the reactor. It may be called more than once.
func (x *Reactor) Close(context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.drop(ErrReactorClosed)
	return nil
}
