package wasmrt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"
)

// An image is one instance of a program with the processes that live in it: the one that was started there, and those that it forked.
// One of them runs, and the state of the others is kept aside. Its fields belong to its goroutine.
type image struct {
	k       *kernel
	mod     api.Module
	budget  *memoryBudget
	cells   []globalCell // its mutable globals
	stack   api.Global   // the stack pointer, if the stack comes first in memory; see live
	forks   bool         // its processes may fork
	cur     *proc
	procs   []*proc // that have not left, cur among them
	spare   []byte  // for the next state to keep
	record  *recording
	hasSlot bool // it has one of the host's slots
	// entered says that the program was started once more after a trap, only to go on with another process.
	entered bool
	// news says that a signal has ended one of its processes.
	news atomic.Bool
}

// enter is the begin of each host call in an image. It returns the process that calls.
func (img *image) enter() *proc {
	if img.entered {
		img.entered = false
		img.next()
	}
	img.checkNews()
	return img.cur
}

// checkNews ends processes that a signal has ended. If the running process is among them, it does not return.
func (img *image) checkNews() {
	if img.k.over.Load() {
		panic(errStopped)
	}
	if img.news.Load() {
		cur := img.cur
		img.bury()
		if !slices.Contains(img.procs, cur) {
			img.next()
		}
	}
}

// bury removes the processes that a signal has ended.
func (img *image) bury() {
	k := img.k
	var dead []*proc
	k.mu.Lock()
	img.news.Store(false)
	for _, p := range img.procs {
		if p.killed != 0 {
			dead = append(dead, p)
		}
	}
	k.mu.Unlock()
	for _, p := range dead {
		img.remove(p, p.killed)
	}
}

// remove takes a process out of the image that has ended with a status.
func (img *image) remove(p *proc, status int) {
	img.procs = slices.DeleteFunc(img.procs, func(q *proc) bool { return q == p })
	img.dropState(p)
	p.finish(status)
}

// dropState frees what is kept aside for a process.
func (img *image) dropState(p *proc) {
	if w := p.waits; w != nil && w.cancel != nil {
		w.cancel()
	}
	p.saved = nil
	img.k.states.give(p.reserved + p.jumps.forgetAll())
	p.reserved = 0
}

// call makes a call for the running process until it need not wait. While it waits, other processes of the image may run.
func (img *image) call(ctx context.Context, fn call, m memory, stack []uint64) errno {
	p := img.enter()
	args := stack
	for {
		e := img.attempt(p, fn, m, args)
		if e != eBlock {
			return e
		}
		next := img.pick()
		switch {
		case !slices.Contains(img.procs, p): // a signal ended it
			img.goOn(next)
		case next != p:
			img.suspend(ctx, p, fn, stack)
			img.goOn(next)
		}
		if e, ended := p.interrupted(m); ended {
			return e
		}
	}
}

// attempt makes a call once, and again if it was waiting.
func (img *image) attempt(p *proc, fn call, m memory, args []uint64) errno {
	p.resumed, p.waits = p.waits, nil
	e := fn(p, m, args)
	if p.resumed != nil && p.resumed.cancel != nil && (p.waits == nil || p.waits != p.resumed) {
		p.resumed.cancel()
	}
	p.resumed = nil
	if p.fatal != nil {
		img.k.halt(p.fatal)
	}
	if img.k.over.Load() {
		panic(errStopped)
	}
	return e
}

// interrupted reports whether a signal interrupts the wait of a process, and the result of the call if it does.
func (p *proc) interrupted(m memory) (errno, bool) {
	k := p.k
	k.mu.Lock()
	w := p.waits
	ended := !w.over() && p.deliverable()
	k.mu.Unlock()
	if !ended {
		return eOK, false
	}
	p.waits = nil
	if w.cancel != nil {
		w.cancel()
	}
	if w.done > 0 {
		return m.put32(w.result, uint32(w.done)), true
	}
	return eIntr, true
}

// pick returns a process of the image that can run, and waits until there is one. The running process comes last. If no process is left, pick returns nil.
func (img *image) pick() *proc {
	k := img.k
	for {
		if img.news.Load() {
			img.bury()
		}
		if len(img.procs) == 0 {
			return nil
		}
		k.mu.Lock()
		if k.stop {
			k.mu.Unlock()
			panic(errStopped)
		}
		if img.news.Load() {
			k.mu.Unlock()
			continue
		}
		at := slices.Index(img.procs, img.cur) + 1
		for i := range img.procs {
			if p := img.procs[(at+i)%len(img.procs)]; p.runnable() {
				k.mu.Unlock()
				img.takeSlot()
				return p
			}
		}
		img.leaveSlot()
		k.idle++
		k.stuck()
		if !k.stop && !img.news.Load() && !slices.ContainsFunc(img.procs, (*proc).runnable) {
			cancel := k.alarm(img.procs)
			k.changed.Wait()
			cancel()
		}
		k.idle--
		k.mu.Unlock()
	}
}

// takeSlot waits for a slot of the host, if the image has none.
func (img *image) takeSlot() {
	if img.hasSlot || img.k.host.slots == nil {
		return
	}
	select {
	case img.k.host.slots <- struct{}{}:
		img.hasSlot = true
	case <-img.k.ctx.Done():
		panic(errStopped)
	}
}

// leaveSlot gives the slot back that the image has. It does not wait.
func (img *image) leaveSlot() {
	if img.hasSlot && img.k.host.slots != nil {
		<-img.k.host.slots
	}
	img.hasSlot = false
}

// next goes on with another process, when the running one has left the image. It does not return.
func (img *image) next() { img.goOn(img.pick()) }

// goOn goes on with a process, nil if none is left. It does not return.
func (img *image) goOn(p *proc) {
	if p == nil {
		_ = img.mod.CloseWithExitCode(context.Background(), 0)
		panic(sys.NewExitError(0)) // no instruction after the call may run
	}
	img.resume(p)
}

// exit ends the running process. It does not return.
func (img *image) exit(status int) {
	if status&0xff == 0 {
		img.record.keep(status >> 8)
	}
	img.remove(img.cur, status)
	img.next()
}

// run runs a process in the image, and the processes that it forks, to their ends.
func (img *image) run(p *proc, load *loadedProgram) {
	defer load.release()
	k := img.k
	img.cur, img.procs = p, []*proc{p}
	p.execute(load)
	img.budget = &memoryBudget{limit: k.host.Limits.Memory, parent: k.host.budget}
	if img.budget.limit <= 0 {
		img.budget.limit = DefaultMemory
	}
	defer func() {
		if img.budget.denied.Load() {
			k.record.spoil("a program did not get the memory that it wanted")
		}
		for len(img.procs) > 0 { // the kernel has stopped
			img.remove(img.procs[0], sigkill)
		}
	}()
	if !load.mod.scan.posix() {
		img.record = k.host.record(p, load)
		img.record.within(img.budget)
		if code, ok := img.recall(); ok {
			if len(img.procs) > 0 {
				img.remove(p, code<<8)
			}
			return
		}
	}
	start, ctx, err := img.instantiate(load)
	if err != nil {
		if !errors.Is(err, errStopped) {
			img.died(err)
		}
		return
	}
	defer img.mod.Close(context.WithoutCancel(ctx))
	for {
		_, err := start.Call(ctx)
		if len(img.procs) == 0 || errors.Is(err, errStopped) || k.over.Load() {
			return
		}
		if img.entered { // it did not reach a call
			k.say("%s (pid %d): cannot go on after a trap in a process that shares its memory", img.cur.name, img.procs[0].pid)
			return
		}
		// What ends the process that ran does not end those that it shares the instance with: their memory and stacks are kept aside. The program
		// is started once more, and its first call goes on with one of them.
		if code, exited := exitCode(err); err == nil || exited {
			img.record.keep(code)
			img.remove(img.cur, code<<8)
		} else {
			img.died(err)
		}
		if len(img.procs) == 0 {
			return
		}
		img.entered = true
		img.load(img.procs[0].saved) // the memory of the dead process may be in disorder
	}
}

// instantiate makes the instance of a program.
func (img *image) instantiate(load *loadedProgram) (start api.Function, ctx context.Context, err error) {
	defer func() {
		if r := recover(); r != nil { // wazero does not recover panics during instantiation
			err, _ = r.(error)
			if err == nil {
				err = fmt.Errorf("%v", r)
			}
		}
	}()
	img.takeSlot()
	c, err := load.mod.variant(img.k.ctx, false)
	if err != nil {
		return nil, nil, err
	}
	ctx = experimental.WithMemoryAllocator(img.k.ctx, img.budget)
	ctx = context.WithValue(ctx, procKey{}, img)
	img.mod, err = c.rt.InstantiateModule(ctx, c.code, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, nil, err
	}
	if load.mod.scan.posix() {
		if img.cells, err = mutableGlobals(img.mod); err == nil {
			img.forks = true
			ctx = experimental.WithSnapshotter(ctx)
			img.stack = img.stackFirst(&load.mod.scan)
		} else {
			img.k.say("%s: it cannot fork: %v", img.cur.name, err)
		}
	}
	return img.mod.ExportedFunction("_start"), ctx, nil
}

// died ends the running process because of a trap.
func (img *image) died(err error) {
	p := img.cur
	if img.mod != nil {
		err = stackError(img.mod, err)
	}
	trap := p.trap(err, img.budget)
	img.k.mu.Lock()
	root := p == img.k.root
	if root {
		img.k.rootErr = trap
	}
	img.k.mu.Unlock()
	if !root {
		img.k.say("%s (pid %d): %s", p.name, p.pid, trapReason(trap))
	}
	img.remove(p, trapSignal(err))
}
