package wasmrt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"
)

// An ExecFunc runs a program on behalf of a running one; see Host.
type ExecFunc func(ctx context.Context, c *Command) (exit int, err error)

// A Program is one run of a module: all that the run may reach, and nothing else.
type Program struct {
	Module *Module
	// Args begins with the program's name.
	Args []string
	// Env are the variables, "NAME=value". If PWD is missing, it is set to Dir.
	Env []string
	// FS is the file system that the program sees; nil has only /dev.
	FS *FS
	// Dir is the working directory, an absolute path of FS; empty is "/".
	Dir string
	// Stdin, Stdout and Stderr: nil is /dev/null. If a stream is a terminal of the host, the program sees a terminal too.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Sockets are the listening sockets that the program is given; nil is none.
	Sockets *Sockets
	// Real gives the program the real clock and fresh random numbers.
	// If it is false, the program gets the fixed clock, see Epoch, and random numbers that depend only on Args and Dir.
	Real bool
	// Exec runs programs on behalf of this one; if it is nil, the call answers that it does not exist.
	Exec ExecFunc
	// MemoryLimit is how many bytes of linear memory the program may use; zero is DefaultMemory.
	MemoryLimit int64

	budget *memoryBudget // of the set of programs that this one belongs to
	bare   bool          // a process: without directories
	memo   *Host         // whose Memo may keep the result of the run of load
	load   *loadedProgram
	record *recording
}

// A TrapError says that something other than its own exit ended a program.
type TrapError struct {
	// Program is the program's name.
	Program string
	// Reason is a description: "stack overflow: …", "out of memory (limit 64 MiB)".
	Reason string
	// Trace lists the functions on the program's stack, innermost first; it may be empty.
	Trace []string
	err   error
}

func (e *TrapError) Error() string { return fmt.Sprintf("program %q: %s", e.Program, e.Reason) }

// Unwrap returns the cause, such as context.Canceled or a *LimitError.
func (e *TrapError) Unwrap() error { return e.err }

// ExitTrap is the exit code of a program ended by a trap, the code that a shell shows for SIGABRT.
const ExitTrap = 134

// Run runs a program to its end and returns its exit code.
// If the program exits by itself, with any code, the error is nil. If a trap or a failed call ends it, the error is a
// *TrapError and the code is ExitTrap.
// When ctx is done the program ends at its next call. A program that computes without calls goes on: only a worker process
// can be killed at any time.
func (r *Runtime) Run(ctx context.Context, pr *Program) (exit int, err error) {
	if pr.Module == nil {
		return 0, errors.New("run program: no module")
	}
	name := "program"
	if len(pr.Args) > 0 {
		name = path.Base(pr.Args[0])
	}
	p, err := newProc(ctx, pr, name)
	if err != nil {
		return 0, fmt.Errorf("program %q: %w", name, err)
	}
	defer p.closeAll()
	if pr.memo != nil {
		pr.record = pr.memo.record(p, pr.load)
		exit, ok := pr.record.recall()
		switch {
		case p.fatal != nil:
			return ExitTrap, p.trap(p.fatal, nil)
		case ok:
			return exit, nil
		}
	}
	c, err := pr.Module.variant(ctx, false)
	if err != nil {
		return 0, fmt.Errorf("program %q: %w", name, err)
	}
	if exit, err = p.run(ctx, c, pr); err == nil {
		pr.record.keep(exit)
	}
	return exit, err
}

func newProc(ctx context.Context, pr *Program, name string) (*proc, error) {
	p := &proc{
		ctx: ctx, name: name, fs: pr.FS, cwd: pr.Dir, args: pr.Args, env: pr.Env,
		golang: pr.Module.scan.golang, exec: pr.Exec,
		clock: clock{real: pr.Real, start: time.Now()},
	}
	if p.cwd == "" {
		p.cwd = "/"
	}
	if p.fs == nil {
		p.fs, _ = NewFS()
	}
	if pr.Real {
		p.random = realRandom()
	} else {
		p.random = seeded(pr.Args, p.cwd)
	}
	l, e := p.fs.walk("/", p.cwd, true)
	if e == eOK && l.info.kind != kindDir {
		e = eNotdir
	}
	if e != eOK || !path.IsAbs(p.cwd) {
		return nil, fmt.Errorf("working directory %q: %w", p.cwd, e)
	}
	p.cwd = l.path
	if !hasEnv(p.env, "PWD") {
		p.env = append(p.env[:len(p.env):len(p.env)], "PWD="+p.cwd)
	}
	for _, s := range append(p.args[:len(p.args):len(p.args)], p.env...) {
		if strings.IndexByte(s, 0) >= 0 {
			return nil, fmt.Errorf("argument or variable %q has a zero byte", s)
		}
	}
	for _, s := range []any{pr.Stdin, pr.Stdout, pr.Stderr} {
		f, err := openStdio(s)
		if err != nil {
			return nil, fmt.Errorf("standard stream: %w", err)
		}
		if _, e := p.add(f); e != eOK {
			return nil, e
		}
	}
	p.fds[0].write = p.fds[0].write && isTerminal(p.fds[0])
	if pr.Sockets != nil {
		for _, s := range pr.Sockets.list { // Go's library, which has one thread, takes them for non-blocking ones
			if _, e := p.add(&fd{opened: opened{file: s}, read: true, write: true, borrowed: true, nonblock: p.golang && !pr.bare}); e != eOK {
				return nil, e
			}
		}
		p.env = append(p.env[:len(p.env):len(p.env)], pr.Sockets.environ(p.ownPID())...)
	}
	if pr.bare {
		return p, nil
	}
	p.preopenAll()
	return p, nil
}

// ownPID is the number by which a program that is no process of a kernel knows itself: the one in Go's library, or the one in wasi-libc.
func (p *proc) ownPID() int {
	if p.golang {
		return 3
	}
	return 42
}

// preopenAll gives a program its directories. The working directory comes first, for programs that take the first preopen for it.
func (p *proc) preopenAll() {
	p.preopen(".", p.cwd)
	if p.golang {
		p.preopen("/", "/")
		return
	}
	for _, top := range p.fs.preopens() {
		p.preopen(top, top)
	}
}

func isTerminal(f *fd) bool {
	i, _ := f.file.stat()
	return i.kind == kindTTY
}

func (p *proc) preopen(name, at string) {
	_, _ = p.add(&fd{opened: p.fs.openDir(at), preopen: name})
}

// preopens lists the directories that programs get as preopens besides the working directory.
// "/" is a preopen only for Go, since wasi-libc would not distinguish it from ".". All of nuka's own mounts are in /nuka, and no
// relative path begins with that; other mounts are preopens under their full names.
func (f *FS) preopens() []string {
	var out []string
	seen := map[string]bool{}
	for _, t := range f.tops {
		if rest, ok := strings.CutPrefix(t, "/nuka"); ok && (rest == "" || rest[0] == '/') {
			t = "/nuka"
		}
		if i, e := f.lstat(t); e == eOK && i.kind != kindDir {
			if t = path.Dir(t); t == "/" {
				continue // only programs that distinguish "/" from "." can reach it
			}
		}
		if !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	return out
}

func hasEnv(env []string, name string) bool {
	for _, e := range env {
		if strings.HasPrefix(e, name+"=") {
			return true
		}
	}
	return false
}

func (p *proc) run(ctx context.Context, c *compiled, pr *Program) (exit int, err error) {
	budget := &memoryBudget{limit: pr.MemoryLimit, parent: pr.budget}
	if budget.limit <= 0 {
		budget.limit = DefaultMemory
	}
	pr.record.within(budget)
	defer context.AfterFunc(ctx, func() { p.stop.Store(true) })()
	defer func() {
		if r := recover(); r != nil { // wazero does not recover panics during instantiation
			e, ok := r.(error)
			if !ok {
				e = fmt.Errorf("%v", r)
			}
			exit, err = ExitTrap, p.trap(e, budget)
		}
	}()
	if err := ctx.Err(); err != nil {
		return ExitTrap, p.trap(err, budget)
	}
	// wazero passes this context to every call. Values that calls look up in it are added last.
	ctx = experimental.WithMemoryAllocator(ctx, budget)
	ctx = context.WithValue(ctx, procKey{}, p)
	if err := c.checkImports(); err != nil {
		return 0, fmt.Errorf("program %q: %w", p.name, err)
	}
	mod, err := c.rt.InstantiateModule(ctx, c.code, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return ExitTrap, p.trap(err, budget)
	}
	defer mod.Close(context.WithoutCancel(ctx))
	start := mod.ExportedFunction("_start")
	if start == nil {
		return 0, fmt.Errorf("program %q: has no _start; it is a library", p.name)
	}
	if _, err = start.Call(ctx); err == nil {
		return 0, nil
	}
	if code, ok := exitCode(err); ok {
		return code, nil
	}
	return ExitTrap, p.trap(stackError(mod, err), budget)
}

func exitCode(err error) (int, bool) {
	var exit *sys.ExitError
	if errors.As(err, &exit) {
		// A system keeps only the low eight bits of an exit code, so 256 would become success.
		return int(min(exit.ExitCode(), 255)), true
	}
	return 0, false
}

// trap returns the error of a program that did not exit by itself.
func (p *proc) trap(err error, budget *memoryBudget) error {
	t := &TrapError{Program: p.name, err: err}
	var mem memoryError
	var limit *LimitError
	// The text contains the trace and identifies the trap, since wazero exports neither errors of traps nor traces.
	text, trace, _ := strings.Cut(err.Error(), "\nwasm stack trace:\n")
	for line := range strings.Lines(trace) {
		if line = strings.TrimSpace(line); line != "" && len(t.Trace) < 32 {
			t.Trace = append(t.Trace, line)
		}
	}
	text, _, _ = strings.Cut(text, "\n")
	text = strings.TrimPrefix(strings.TrimSuffix(text, " (recovered by wazero)"), "wasm error: ")
	switch {
	case errors.As(err, &mem):
		t.Reason = mem.Error()
	case errors.As(err, &limit):
		t.Reason, t.err = limit.Error(), limit
	case p.ctx.Err() != nil && (errors.Is(err, errStopped) || errors.Is(err, p.ctx.Err())):
		t.Reason, t.err = "stopped: "+context.Cause(p.ctx).Error(), context.Cause(p.ctx)
	case budget != nil && budget.denied.Load() && text == "unreachable":
		t.Reason = fmt.Sprintf("out of memory (limit %d MiB)", budget.limit>>20)
	case errors.Is(err, errStack):
		t.Reason = errStack.Error()
	case text == "stack overflow":
		t.Reason = "stack overflow: functions call each other too deep"
	case text == "unreachable":
		t.Reason = "aborted (unreachable code)"
	default:
		t.Reason = text
	}
	return t
}

// trapSignal returns the signal that a trap is for the parent of the process.
func trapSignal(err error) int {
	text, _, _ := strings.Cut(err.Error(), "\n")
	switch {
	case strings.Contains(text, "integer divide by zero"), strings.Contains(text, "integer overflow"), strings.Contains(text, "invalid conversion to integer"):
		return sigfpe
	case strings.Contains(text, "out of bounds memory access"), strings.Contains(text, "stack overflow"):
		return sigsegv
	case strings.Contains(text, "indirect call"), strings.Contains(text, "invalid table access"):
		return sigill
	}
	return sigabrt
}
