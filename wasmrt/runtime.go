package wasmrt

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/zeebo/blake3"
)

// Options configures a Runtime; nil is all zero.
type Options struct {
	// CacheDir is a directory that keeps machine code for later processes.
	// Several processes may share it. No process with less trust than this one may write to it, because this process executes
	// the machine code. If it is empty, every module is compiled anew.
	CacheDir string
	// Scratch is a directory that only this process uses. If it is set, the Runtime only reads CacheDir, and compiles a missing
	// module for this process alone. If it is empty, this process writes to CacheDir.
	Scratch string
	// Ask requests that another process put machine code into CacheDir; it is used with Scratch. When it returns, the
	// Runtime checks the cache again. Nil makes no request.
	Ask func(context.Context, *Missing) error
	// CompileWorkers is how many goroutines compile one module; zero is two.
	CompileWorkers int
	// Log receives warnings, such as those about damaged cache entries; nil discards them.
	Log *slog.Logger
}

// A Missing is a module whose machine code is not in the cache, or is there for another processor only.
type Missing struct {
	Code []byte
	// File is the host path of the module, if it was loaded from a file of a Tree; otherwise it is empty.
	File string
	// Again says that the cache has an unusable entry: it is damaged or for another processor.
	Again bool
}

// A Runtime compiles and runs WebAssembly programs.
// It is safe for concurrent use.
type Runtime struct {
	opts Options
	log  *slog.Logger

	mu      sync.Mutex
	modules map[moduleKey]*loading
	unused  []*Module // that nobody uses and that may be freed, the oldest first
	closed  bool
}

// moduleKey is the hash of a module's bytes.
type moduleKey [32]byte

func (k moduleKey) String() string { return hex.EncodeToString(k[:20]) }

// loading is a module that is loaded, or that its first requester is loading.
type loading struct {
	done chan struct{}
	mod  *Module
	err  error
}

// A Module is a compiled program. It may run any number of times and in parallel.
// It belongs to its Runtime, whose Close frees it.
type Module struct {
	rt   *Runtime
	key  moduleKey
	code []byte
	file string // see Missing
	scan moduleScan

	users int  // see Runtime.borrow; guarded by rt.mu
	stays bool // guarded by rt.mu

	mu      sync.Mutex
	plain   *compiled
	bounded *compiled
}

// compiled is a module's machine code, in a wazero runtime of its own. So its cache entry can be checked before
// wazero reads it, and closing it frees all of the module's memory.
type compiled struct {
	rt    wazero.Runtime
	code  wazero.CompiledModule
	cache wazero.CompilationCache

	looked  sync.Once
	missing error // see checkImports
}

func (c *compiled) close(ctx context.Context) error {
	if c == nil {
		return nil
	}
	err := c.rt.Close(ctx)
	if c.cache != nil {
		err = errors.Join(err, c.cache.Close(ctx))
	}
	return err
}

// ErrClosed is the error of calls to a closed Runtime.
var ErrClosed = errors.New("runtime is closed")

// New returns a Runtime. The caller closes it.
func New(ctx context.Context, o *Options) (*Runtime, error) {
	r := &Runtime{modules: map[moduleKey]*loading{}, log: slog.New(slog.DiscardHandler)}
	if o != nil {
		r.opts = *o
	}
	if r.opts.Log != nil {
		r.log = r.opts.Log
	}
	if r.opts.CompileWorkers <= 0 {
		r.opts.CompileWorkers = 2
	}
	if d := r.opts.CacheDir; d != "" && r.opts.Scratch == "" {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("machine code cache: %w", err)
		}
	}
	return r, ctx.Err()
}

// Close frees all modules. The caller makes sure that no program is running.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	list := r.modules
	r.modules = map[moduleKey]*loading{}
	r.mu.Unlock()
	var errs []error
	for _, l := range list {
		<-l.done
		if l.mod != nil {
			l.mod.mu.Lock()
			errs = append(errs, l.mod.plain.close(ctx), l.mod.bounded.close(ctx))
			l.mod.plain, l.mod.bounded = nil, nil
			l.mod.mu.Unlock()
		}
	}
	return errors.Join(errs...)
}

// Load compiles a module, or finds it in memory or in the cache.
// The same bytes give the same Module; a caller that requests a module during its compilation waits.
// The module keeps code, which the caller must not change.
func (r *Runtime) Load(ctx context.Context, code []byte) (*Module, error) {
	return r.load(ctx, blake3.Sum256(code), code, "", false)
}

// LoadFile loads a module, as Load does, from a file of the host.
func (r *Runtime) LoadFile(ctx context.Context, name string) (*Module, error) {
	code, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("load program: %w", err)
	}
	m, err := r.Load(ctx, code)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// find returns a module that is loaded, or loads it.
func (r *Runtime) find(ctx context.Context, key moduleKey, code []byte, file string, later bool) (*Module, error) {
	for {
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			return nil, ErrClosed
		}
		l := r.modules[key]
		if l == nil {
			l = &loading{done: make(chan struct{})}
			r.modules[key] = l
			r.mu.Unlock()
			l.mod, l.err = r.compileNew(ctx, key, code, file, later)
			if l.err != nil {
				r.mu.Lock()
				delete(r.modules, key)
				r.mu.Unlock()
			}
			close(l.done)
			return l.mod, l.err
		}
		r.mu.Unlock()
		select {
		case <-l.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		// If the compiling caller was cancelled, this caller tries again instead of failing.
		if l.err != nil && ctx.Err() == nil && errors.Is(l.err, context.Canceled) {
			continue
		}
		return l.mod, l.err
	}
}

func (r *Runtime) compileNew(ctx context.Context, key moduleKey, code []byte, file string, later bool) (*Module, error) {
	scan, err := scanModule(code)
	if err != nil {
		return nil, fmt.Errorf("load program: %w", err)
	}
	m := &Module{rt: r, key: key, code: code, file: file, scan: scan}
	// A reactor only runs bounded, every other module only plain; the two kinds have different machine code.
	if later && scan.pure() {
		return m, nil
	}
	if scan.exports["_start"] {
		_, err = m.variant(ctx, false)
	} else {
		_, err = m.variant(ctx, true)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// variant returns the machine code of one kind, compiling it if needed.
func (m *Module) variant(ctx context.Context, bounded bool) (*compiled, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &m.plain
	if bounded {
		p = &m.bounded
	}
	if *p == nil {
		c, err := m.rt.compile(ctx, m, bounded)
		if err != nil {
			return nil, err
		}
		*p = c
	}
	return *p, nil
}

const features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall |
	experimental.CoreFeaturesExtendedConst | experimental.CoreFeaturesExceptionHandling

// compile returns machine code, through the cache if there is one.
// An unusable cache costs time but is not an error.
func (r *Runtime) compile(ctx context.Context, m *Module, bounded bool) (*compiled, error) {
	if r.opts.CacheDir != "" {
		through := r.compileCached
		if r.opts.Scratch != "" {
			through = r.compileShared
		}
		c, err := through(ctx, m, bounded)
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !errors.Is(err, errCache) {
			return nil, err
		}
		r.log.Warn("machine code cache not used", "module", m.key.String(), "error", err)
	}
	return r.compileWith(ctx, m.code, bounded, nil)
}

func (r *Runtime) compileWith(ctx context.Context, code []byte, bounded bool, cache wazero.CompilationCache) (c *compiled, err error) {
	cfg := wazero.NewRuntimeConfigCompiler().
		WithCoreFeatures(features).
		WithDebugInfoEnabled(false).
		WithCloseOnContextDone(bounded)
	if cache != nil {
		cfg = cfg.WithCompilationCache(cache)
	}
	rt := wazero.NewRuntimeWithConfig(ctx, cfg)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("compile program: %v", p)
		}
		if err != nil {
			_ = rt.Close(ctx)
		}
	}()
	if err := instantiateHost(ctx, rt); err != nil {
		return nil, err
	}
	native, err := rt.CompileModule(experimental.WithCompilationWorkers(ctx, r.opts.CompileWorkers), code)
	if err != nil {
		return nil, fmt.Errorf("compile program: %w", err)
	}
	return &compiled{rt: rt, code: native, cache: cache}, nil
}
