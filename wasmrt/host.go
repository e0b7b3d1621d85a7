package wasmrt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/zeebo/blake3"
)

// Limits bounds what the programs of a Host may use together; the comment of each field says what zero means.
type Limits struct {
	// Depth is how many programs may be nested, each waiting for the program that it runs; zero is 32.
	Depth int
	// Running is how many programs may compute at once; the others wait for a slot. Zero means no limit.
	// A program that waits for a program that it runs does not count.
	Running int
	// Total is how many programs may run in all, forked processes included; zero is one million.
	Total int64
	// Processes is how many processes may exist at once; zero is 1,024. A fork beyond it fails. Ancestors is how many ancestors a process may have; zero is 256.
	Processes, Ancestors int
	// Output is how many bytes the programs may write to their standard streams; zero means no limit.
	Output int64
	// Memory limits the linear memory of one program, in bytes; zero is DefaultMemory. TotalMemory limits the linear memory of
	// all programs that run at the same time; zero means no limit.
	Memory, TotalMemory int64
}

// A Host runs programs by name, for its owner and on behalf of running programs.
// Its fields must not change after first use. Many programs may use it at once.
type Host struct {
	Runtime *Runtime
	FS      *FS
	// Path lists the directories of FS that Lookup searches for programs, in order.
	Path []string
	// Env is the environment of commands whose own Env is nil.
	Env    []string
	Limits Limits
	// Real gives programs the real clock and random numbers.
	Real bool
	// Memo keeps the results of programs; nil keeps none. It is not used with Real, nor while FS has a Dir that is Shared.
	Memo Memo
	// Signals says that Signal is called: a program that waits for a signal of a terminal does not wait in vain.
	Signals bool

	kernels kernels
	memo    memoState
	once    sync.Once
	slots   chan struct{}
	total   atomic.Int64
	live    atomic.Int64 // processes
	output  atomic.Int64
	budget  *memoryBudget
	files   sync.Map // host path of a tree's file → *Module
}

// A Command is one run of a program by name.
type Command struct {
	// Args begins with the program: a name that Lookup searches for in Path, or a path with a slash.
	Args []string
	// Env are its variables; nil means the host's.
	Env []string
	// Dir is the working directory, an absolute path; empty is "/".
	Dir string
	// The standard streams; nil is /dev/null. If several commands share a stream, it must be safe for concurrent use.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Sockets are the listening sockets that the program is given; nil is none. Programs that it runs get them only if they are its forks.
	Sockets *Sockets
}

// A LimitError says which limit of a set of programs was exceeded.
type LimitError struct{ What string }

func (e *LimitError) Error() string { return e.What }

func (h *Host) init() {
	h.once.Do(func() {
		if h.Limits.Depth <= 0 {
			h.Limits.Depth = 32
		}
		if h.Limits.Total <= 0 {
			h.Limits.Total = 1_000_000
		}
		if h.Limits.Processes <= 0 {
			h.Limits.Processes = 1024
		}
		if h.Limits.Ancestors <= 0 {
			h.Limits.Ancestors = 256
		}
		if h.Limits.Running > 0 {
			h.slots = make(chan struct{}, h.Limits.Running)
		}
		if h.Limits.TotalMemory > 0 {
			h.budget = &memoryBudget{limit: h.Limits.TotalMemory}
		}
	})
}

// Exec runs a program to its end and returns its exit code.
// Errors are *NotFoundError, *TrapError (with code ExitTrap), a *LimitError wrapped in either, and errors of loading a program.
func (h *Host) Exec(ctx context.Context, c *Command) (exit int, err error) {
	h.init()
	if h.slots != nil {
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	top := *c
	if top.Env == nil {
		top.Env = h.Env
	}
	top.Stdout, top.Stderr = h.metered(c.Stdout, c.Stderr)
	return h.exec(ctx, h.FS, &top, 1)
}

// exec runs a program in the view that the one has which starts it.
func (h *Host) exec(ctx context.Context, view *FS, c *Command, depth int) (int, error) {
	if depth > h.Limits.Depth {
		return 0, &LimitError{fmt.Sprintf("more than %d programs run one another", h.Limits.Depth)}
	}
	if err := h.countProgram(); err != nil {
		return 0, err
	}
	if len(c.Args) == 0 {
		return 0, errors.New("run program: no name")
	}
	dir := c.Dir
	if dir == "" {
		dir = "/"
	}
	load, err := h.resolve(ctx, view, c.Args, c.Env, dir)
	if err != nil {
		return 0, err
	}
	if load.mod.scan.posix() {
		if err := load.runnable(h); err != nil {
			return 0, err
		}
		at := *c
		at.Dir = dir
		return h.runKernel(ctx, &at, load)
	}
	defer load.release()
	view = view.within(load.self)
	return h.Runtime.Run(ctx, &Program{
		Module: load.mod, Args: load.args, Env: load.env, FS: view, Dir: dir,
		Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr, Real: h.Real, Sockets: c.Sockets,
		MemoryLimit: h.Limits.Memory, budget: h.budget, memo: h, load: load,
		Exec: func(ctx context.Context, c *Command) (int, error) { return h.exec(ctx, view, c, depth+1) },
	})
}

// countProgram accounts for one more program.
func (h *Host) countProgram() error {
	if h.total.Add(1) > h.Limits.Total {
		return &LimitError{fmt.Sprintf("more than %d programs were run", h.Limits.Total)}
	}
	return nil
}

// resolve finds the module of a program name in the caller's view of the FS, through wrappers and scripts, and returns it with its arguments and variables.
func (h *Host) resolve(ctx context.Context, view *FS, args, env []string, dir string) (*loadedProgram, error) {
	name := args[0]
	full, err := h.lookup(view, name, dir)
	if err != nil {
		return nil, err
	}
	args = slices.Clone(args)
	if !strings.Contains(name, "/") {
		args[0] = full // so that the program can find files beside it
	}
	caller := view
	var self []string
	for range maxHops {
		l, e := view.walk("/", full, true) // after following links
		if e != eOK {
			return nil, fmt.Errorf("program %q: %w", name, e)
		}
		self = view.addSelf(self, l.path)
		load, head, err := h.load(ctx, view, full)
		if err != nil {
			return nil, fmt.Errorf("program %q: %w", name, err)
		}
		if load != nil {
			load.args, load.env, load.self, load.exe = args, env, caller.selves(self), l.path
			return load, nil
		}
		view = view.within(self) // what the script names is in its own package
		if bytes.HasPrefix(head, []byte(wrapMagic)) {
			w, err := parseWrapper(head)
			if err == nil {
				w, err = w.placed(l.path)
			}
			if err != nil {
				return nil, fmt.Errorf("program %q: %w", name, err)
			}
			args = slices.Concat([]string{w.Exe}, w.Args, args[1:])
			env = overlay(env, w.Env)
			full = w.Exe
		} else {
			interp, arg, err := parseScript(head)
			if err != nil {
				return nil, fmt.Errorf("program %q: %w: neither a WebAssembly module nor a script", name, eNoexec)
			}
			if path.Base(interp) == "env" && arg != "" {
				interp, arg = path.Base(strings.TrimPrefix(arg, "-S ")), ""
			}
			found, err := h.lookup(view, interp, dir)
			if err != nil && !errors.Is(err, eIO) { // #!/bin/sh: no FS has /bin, but Path may have a program sh
				found, err = h.lookup(view, path.Base(interp), dir)
			}
			if err != nil {
				return nil, fmt.Errorf("program %q: interpreter: %w", name, err)
			}
			next := []string{found}
			if arg != "" {
				next = append(next, arg)
			}
			args = slices.Concat(next, []string{full}, args[1:])
			full = found
		}
		if _, err := h.lookup(view, full, "/"); err != nil {
			return nil, fmt.Errorf("program %q: %w", name, err)
		}
	}
	return nil, fmt.Errorf("program %q: a chain of more than %d scripts and wrappers", name, maxHops)
}

// overlay sets variables in a list, in the order of their names.
func overlay(env []string, over map[string]string) []string {
	if len(over) == 0 {
		return env
	}
	out := make([]string, 0, len(env)+len(over))
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if _, ok := over[name]; !ok {
			out = append(out, e)
		}
	}
	for _, name := range sortedKeys(over) {
		out = append(out, name+"="+over[name])
	}
	return out
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// load returns the module of a file. If the file is no module, load returns its first bytes instead.
func (h *Host) load(ctx context.Context, view *FS, full string) (*loadedProgram, []byte, error) {
	f, i, e := view.openFile(full)
	if e != eOK {
		return nil, nil, e
	}
	defer f.close()
	// A file of a tree never changes, so its host path identifies its content.
	key := ""
	if t, ok := f.(*treeFile); ok {
		key = t.f.Name()
		if m, ok := h.files.Load(key); ok {
			return &loadedProgram{mod: m.(*Module), release: func() {}}, nil, nil
		}
	}
	head, err := readAll(f, min(i.size, maxHeader))
	if err != nil || !bytes.HasPrefix(head, []byte("\x00asm")) {
		return nil, head, err
	}
	code := head
	if i.size > int64(len(head)) {
		if i.size > maxModule {
			return nil, nil, eFbig
		}
		if code, err = readAll(f, i.size); err != nil {
			return nil, nil, err
		}
	}
	hash := moduleKey(blake3.Sum256(code))
	if key == "" { // programs may write to the file, so only its content identifies it
		m, release, err := h.Runtime.borrow(ctx, hash, code, h.Memo != nil)
		if err != nil {
			return nil, nil, err
		}
		return &loadedProgram{mod: m, release: release}, nil, nil
	}
	m, err := h.Runtime.load(ctx, hash, code, key, h.Memo != nil)
	if err != nil {
		return nil, nil, err
	}
	h.files.Store(key, m)
	return &loadedProgram{mod: m, release: func() {}}, nil, nil
}

// maxModule is the maximum size of a program.
const maxModule = 1 << 30

func readAll(f file, size int64) ([]byte, error) {
	b := make([]byte, size)
	n := 0
	for n < len(b) {
		k, e := f.pread(b[n:], int64(n))
		if e != eOK {
			return nil, e
		}
		if k == 0 {
			break
		}
		n += k
	}
	return b[:n], nil
}

// metered wraps the writers of a command so that they count output. If both are the same writer, both results are the same.
func (h *Host) metered(stdout, stderr io.Writer) (io.Writer, io.Writer) {
	if h.Limits.Output <= 0 {
		return stdout, stderr
	}
	out := h.Meter(stdout)
	if stdout != nil && stderr != nil && reflect.TypeOf(stdout).Comparable() && reflect.TypeOf(stderr).Comparable() && stdout == stderr {
		return out, out
	}
	return out, h.Meter(stderr)
}

// Meter returns a writer that counts towards Limits.Output, together with the output of programs. Beyond the limit, Write
// returns a *LimitError. A nil w discards the output but still counts it.
func (h *Host) Meter(w io.Writer) io.Writer {
	if w == nil {
		w = io.Discard
	}
	if h.Limits.Output <= 0 {
		return w
	}
	return &meter{h: h, w: w}
}

// meter counts output against the host's limit.
type meter struct {
	h *Host
	w io.Writer
}

func (m *meter) Write(b []byte) (int, error) {
	if m.h.output.Add(int64(len(b))) > m.h.Limits.Output {
		return 0, &LimitError{fmt.Sprintf("more than %d bytes of output", m.h.Limits.Output)}
	}
	return m.w.Write(b)
}

// ErrNotProgram says that a file is neither a WebAssembly module nor a script.
var ErrNotProgram error = eNoexec
