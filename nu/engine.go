package nu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/MordragT/nuka/source/kind"
	"github.com/MordragT/nuka/wasmrt"
)

// The default limits of an evaluation.
const (
	DefaultTimeout     = 30 * time.Second
	DefaultMemoryLimit = 512 << 20
)

// Options configures an Engine. A nil *Options is the zero value.
type Options struct {
	// CacheDir is the folder for machine code and evaluations; if it is empty, nothing is cached on disk.
	CacheDir string
	// Timeout bounds one evaluation; zero means DefaultTimeout.
	Timeout time.Duration
	// MemoryLimit bounds the memory of one evaluation in bytes; zero means DefaultMemoryLimit.
	MemoryLimit int64
	// Runtime runs the embedded Nushell. If it is nil, the engine creates one on first use, and Close closes that one.
	Runtime *wasmrt.Runtime
	// Kinds are the kinds of sources that package files can fetch; the zero Table is none.
	Kinds kind.Table
	// Log receives damaged cache entries; nil discards them.
	Log *slog.Logger
}

// An Engine evaluates package files. It is safe for concurrent use.
type Engine struct {
	opts Options
	log  *slog.Logger
	own  lazyRuntime
}

// New returns an engine. It loads nothing: an evaluation loads the embedded Nushell if its result is not in the cache.
func New(_ context.Context, o *Options) (*Engine, error) {
	e := &Engine{log: slog.New(slog.DiscardHandler)}
	if o != nil {
		e.opts = *o
	}
	if e.opts.Timeout == 0 {
		e.opts.Timeout = DefaultTimeout
	}
	if e.opts.MemoryLimit == 0 {
		e.opts.MemoryLimit = DefaultMemoryLimit
	}
	if e.opts.Log != nil {
		e.log = e.opts.Log
	}
	if e.opts.CacheDir != "" {
		abs, err := filepath.Abs(e.opts.CacheDir)
		if err != nil {
			return nil, fmt.Errorf("cache folder %s: %w", e.opts.CacheDir, err)
		}
		e.opts.CacheDir = abs
	}
	return e, nil
}

// Close releases the engine's resources. No evaluation may be running.
func (e *Engine) Close() error { return e.own.close() }

func (e *Engine) runtime(ctx context.Context) (*wasmrt.Runtime, error) {
	if e.opts.Runtime != nil {
		return e.opts.Runtime, nil
	}
	dir := ""
	if e.opts.CacheDir != "" {
		dir = filepath.Join(e.opts.CacheDir, "code")
	}
	return e.own.get(ctx, dir)
}

// answer is the reply of the embedded Nushell.
type answer struct {
	Value    *string         `json:"value"`
	Errors   []Diag          `json:"errors"`
	Unknown  int             `json:"unknown"`  // for tests: how many closures were parsed on their own, as they were not known to stand
	Commands json.RawMessage `json:"commands"` // for tests: every command that package files can use
	Examples json.RawMessage `json:"examples"` // for tests: the outcomes of the commands' examples
}

// call sends one request to a fresh instance.
// Diagnostics in the answer become an *Error.
func (e *Engine) call(ctx context.Context, req map[string]any, host func(context.Context, []byte) []byte) (*answer, error) {
	rt, err := e.runtime(ctx)
	if err != nil {
		return nil, err
	}
	mod, err := loadEngine(ctx, rt)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, e.opts.Timeout, errTimeout)
	defer cancel()
	var said tailWriter // the reason of a panic
	a, err := callEngine(bounded, rt, mod, e.opts.Kinds, req, &wasmrt.ReactorConfig{
		Name: "nushell", Host: host, Stderr: &said, MemoryLimit: e.opts.MemoryLimit,
	})
	var trap *wasmrt.TrapError
	switch {
	case err == nil:
		return a, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case bounded.Err() != nil:
		return nil, &Error{err: context.DeadlineExceeded, Diags: []Diag{{
			Msg:  fmt.Sprintf("evaluation took longer than %s", e.opts.Timeout),
			Hint: "look for a loop that does not end",
		}}}
	case errors.As(err, &trap) && (strings.Contains(trap.Reason, "stack overflow") || strings.Contains(trap.Reason, "out of bounds")):
		// The stack is at the bottom of the memory, so its overflow can be an access out of bounds.
		return nil, &Error{err: err, Diags: []Diag{{
			Msg:  "evaluation was ended: closures call each other, or values are nested, too deep",
			Hint: "end the recursion, or use `reduce`, `each` or `generate`",
		}}}
	case errors.As(err, &trap):
		return nil, &Error{err: err, Diags: []Diag{{
			Msg:  "evaluation was ended: " + trap.Reason,
			Hint: trapHint(said.b, e.opts.MemoryLimit),
		}}}
	}
	return nil, err
}

// trapHint returns a likely cause of a trap: the program's last output, or the memory limit.
func trapHint(said []byte, limit int64) string {
	if text := strings.TrimSpace(string(said)); text != "" && !strings.HasPrefix(text, "memory allocation of") {
		return "it is an error of nuka itself, please report it: " + text
	}
	return fmt.Sprintf("it may use %d MiB of memory: look for a value that grows without end", limit>>20)
}

var errTimeout = errors.New("took too long")

// loadEngine compiles the embedded Nushell, or loads its machine code from the runtime's cache.
func loadEngine(ctx context.Context, rt *wasmrt.Runtime) (*wasmrt.Module, error) {
	code, err := engineCode()
	if err != nil {
		return nil, err
	}
	mod, err := rt.Load(ctx, code)
	if err != nil {
		return nil, fmt.Errorf("load the embedded nushell: %w", err)
	}
	return mod, nil
}

// callEngine sends one request, with the kinds of sources, to a fresh instance.
func callEngine(ctx context.Context, rt *wasmrt.Runtime, mod *wasmrt.Module, kinds kind.Table, req map[string]any, config *wasmrt.ReactorConfig) (*answer, error) {
	r, err := rt.Instantiate(ctx, mod, config)
	if err != nil {
		return nil, fmt.Errorf("start the embedded nushell: %w", err)
	}
	defer func() { _ = r.Close(context.WithoutCancel(ctx)) }()
	req["kinds"] = commandsOf(kinds)
	b, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	out, err := r.Call(ctx, b)
	if err != nil {
		return nil, err
	}
	var a answer
	if err := json.Unmarshal(out, &a); err != nil {
		return nil, fmt.Errorf("read the answer of the embedded nushell: %w", err)
	}
	if len(a.Errors) > 0 {
		return nil, &Error{Diags: a.Errors}
	}
	return &a, nil
}

// commandsOf returns the kinds with empty lists in place of nil ones, which JSON encodes as null.
func commandsOf(t kind.Table) []kind.Kind {
	out := make([]kind.Kind, len(t.Kinds))
	for i, k := range t.Kinds {
		k.Args, k.Flags, k.Examples = append([]kind.Param{}, k.Args...), append([]kind.Param{}, k.Flags...), append([]kind.Example{}, k.Examples...)
		out[i] = k
	}
	return out
}

// hostAnswer encodes the result of a host operation.
func hostAnswer(v any, err error) []byte {
	var reply struct {
		OK  any      `json:"ok,omitempty"`
		Err *refusal `json:"err,omitempty"`
	}
	if err == nil {
		reply.OK = v
	} else if !errors.As(err, &reply.Err) {
		reply.Err = &refusal{Msg: err.Error()}
	}
	b, err := json.Marshal(reply)
	if err != nil {
		b, _ = json.Marshal(map[string]any{"err": &refusal{Msg: err.Error()}})
	}
	return b
}

// hostRequest is a call of the embedded Nushell to the host.
type hostRequest struct {
	Op  string          `json:"op"`
	Arg json.RawMessage `json:"arg"`
}
