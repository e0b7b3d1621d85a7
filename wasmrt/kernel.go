package wasmrt

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// A kernel is the table of the processes that one command of a Host starts: the program of the command, what it forks, and what those execute.
// An image is an instance of a program, on a goroutine of its own, with the processes that live in it. README.md describes the design.
type kernel struct {
	host   *Host
	ctx    context.Context // of the command; its end ends all processes
	stderr io.Writer       // for messages about processes, nil for none
	wg     sync.WaitGroup  // images
	over   atomic.Bool     // whether processes must end, as stop
	states *memoryBudget   // for the states of processes that do not run, and places of longjmp
	root   *proc
	record *recording // of the command; nil for none

	// All that processes share is guarded by mu: this table, signals, exits and pipes. Whoever changes something that a process may wait for
	// calls wake. Nothing that may take long happens under mu.
	mu      sync.Mutex
	changed sync.Cond
	procs   map[int]*proc
	images  int   // that have not ended
	idle    int   // that wait until one of their processes can run
	pipes   int   // that are open
	stop    bool  // all processes must end
	fatal   error // why they must, if not because the first one has ended
	rootErr error // the trap that ended the first process
}

// maxPipes bounds the memory of the pipes of one kernel, to 256 MiB.
const maxPipes = 4096

func newKernel(ctx context.Context, h *Host) *kernel {
	k := &kernel{host: h, ctx: ctx, procs: map[int]*proc{}}
	k.changed.L = &k.mu
	k.states = &memoryBudget{limit: h.Limits.Memory, parent: h.budget}
	if k.states.limit <= 0 {
		k.states.limit = DefaultMemory
	}
	return k
}

// wake lets all images look again for processes that can run. The caller holds k.mu.
func (k *kernel) wake() { k.changed.Broadcast() }

// halt ends all processes. The first error is the one of the command; nil is none.
func (k *kernel) halt(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.haltLocked(err)
}

func (k *kernel) haltLocked(err error) {
	if !k.stop {
		k.fatal = err
	}
	k.stop = true
	k.over.Store(true)
	k.wake()
}

// say writes a line about a process to the standard error of the command.
func (k *kernel) say(format string, args ...any) {
	if k.stderr != nil {
		fmt.Fprintf(k.stderr, "nuka: "+format+"\n", args...)
	}
}

// runKernel runs a command whose program is made for processes, to the end of this program and all processes that it started.
// The caller holds a slot of the host.
func (h *Host) runKernel(ctx context.Context, c *Command, load *loadedProgram) (exit int, err error) {
	k := newKernel(ctx, h)
	stdin, stdout, stderr := sharedStreams(c)
	tees := h.newTees(stdin, &stdout, &stderr)
	k.stderr = stderr
	p, err := newProc(ctx, &Program{
		Module: load.mod, Args: load.args, Env: load.env, FS: h.FS, Dir: c.Dir, Stdin: stdin, Stdout: stdout, Stderr: stderr, Real: h.Real, bare: true, Sockets: c.Sockets,
	}, load.name())
	if err != nil {
		load.release()
		return 0, fmt.Errorf("program %q: %w", load.name(), err)
	}
	p.clock.mono = int64(sinceAge)
	k.adopt(p, nil)
	k.root = p
	if c.Sockets != nil {
		load.env = append(load.env[:len(load.env):len(load.env)], c.Sockets.environ(p.pid)...)
	}
	h.live.Add(1)
	defer h.kernels.add(k)()
	defer h.FS.beginWriting()()
	k.record = h.recordCommand(p, load, tees)
	if code, ok := k.record.recall(); ok {
		load.release()
		p.finish(code << 8)
		if p.fatal != nil {
			return ExitTrap, p.trap(p.fatal, nil)
		}
		return code, nil
	}
	k.record.within(k.states)
	defer context.AfterFunc(ctx, func() { k.halt(nil) })()
	k.mu.Lock()
	k.start(&image{k: k, hasSlot: true}, p, load)
	for !p.exited {
		k.changed.Wait()
	}
	k.haltLocked(nil)
	k.mu.Unlock()
	k.wg.Wait()
	if h.slots != nil { // the caller gives it back
		h.slots <- struct{}{}
	}
	switch {
	case ctx.Err() != nil:
		return ExitTrap, p.trap(context.Cause(ctx), nil)
	case k.fatal != nil:
		return ExitTrap, p.trap(k.fatal, nil)
	case k.rootErr != nil:
		return ExitTrap, k.rootErr
	case p.status&0x7f != 0:
		return 128 + p.status&0x7f, nil
	}
	if p.status == 0 { // what fails is tried again
		k.record.keep(0)
	}
	return p.status >> 8, nil
}

// sharedStreams returns the standard streams of a command for use by several processes at once.
func sharedStreams(c *Command) (stdin io.Reader, stdout, stderr io.Writer) {
	stdin, stdout, stderr = c.Stdin, c.Stdout, c.Stderr
	if stdin != nil && !ownLock(stdin) {
		stdin = &lockedReader{r: stdin}
	}
	if stdout != nil && !ownLock(stdout) {
		stdout = &lockedWriter{w: c.Stdout}
	}
	if c.Stdout != nil && c.Stderr != nil && reflect.TypeOf(c.Stdout).Comparable() && reflect.TypeOf(c.Stderr).Comparable() && c.Stdout == c.Stderr {
		return stdin, stdout, stdout
	}
	if stderr != nil && !ownLock(stderr) {
		stderr = &lockedWriter{w: c.Stderr}
	}
	return stdin, stdout, stderr
}

// start runs a process in a new image, on a goroutine of its own. The caller holds k.mu.
func (k *kernel) start(img *image, p *proc, load *loadedProgram) {
	p.enterImage(img)
	k.images++
	k.wg.Go(func() {
		img.run(p, load)
		img.leaveSlot()
		k.mu.Lock()
		k.images--
		k.wake() // perhaps all others wait for one another now
		k.mu.Unlock()
	})
}

// stuck looks for a way on when all images wait: the first time limit of a wait passes, or all processes end because they wait for one another.
// The caller holds k.mu.
func (k *kernel) stuck() {
	if k.idle < k.images || k.stop {
		return
	}
	var first *proc
	for _, p := range k.procs {
		if p.exited {
			continue
		}
		w := p.waits
		if w == nil || p.killed != 0 || p.deliverable() || w.ready() || w.outside {
			return // its image has been woken
		}
		if w.limit < 0 {
			continue
		}
		if p.clock.real {
			return // a timer wakes it
		}
		if first == nil || w.limit < first.waits.limit || w.limit == first.waits.limit && p.pid < first.pid {
			first = p
		}
	}
	if first == nil {
		k.haltLocked(k.deadlock())
		return
	}
	first.waits.expired = true
	k.wake()
}

// alarm wakes the images when the earliest time limit passes of the processes of one image. The caller holds k.mu.
func (k *kernel) alarm(procs []*proc) (cancel func()) {
	var first time.Time
	for _, p := range procs {
		if w := p.waits; w != nil && p.clock.real && w.limit >= 0 && (first.IsZero() || w.until.Before(first)) {
			first = w.until
		}
	}
	if first.IsZero() {
		return func() {}
	}
	t := time.AfterFunc(time.Until(first), func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.wake()
	})
	return func() { t.Stop() }
}

// adopt gives a new process its number and its place in the table. The caller holds k.mu, or is alone.
func (k *kernel) adopt(p, parent *proc) {
	p.k, p.parent = k, parent
	if parent != nil {
		parent.forked++
		p.depth = parent.depth + 1
		p.seed = mix(parent.seed, parent.forked)
		parent.children = append(parent.children, p)
	}
	// Numbers follow from those of the parent, so that they do not depend on which processes run at the same time.
	pid := 2 + int(p.seed%(maxPID-2))
	for k.procs[pid] != nil {
		if pid++; pid >= maxPID {
			pid = 2
		}
	}
	p.pid = pid
	k.procs[pid] = p
}

// forget removes a process from the table. The caller holds k.mu.
func (k *kernel) forget(p *proc) {
	delete(k.procs, p.pid)
	k.host.live.Add(-1)
}

const maxPID = 1 << 22

// mix is the finalizer of splitmix64.
func mix(a, b uint64) uint64 {
	x := a + b*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
