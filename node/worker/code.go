package worker

import (
	"context"
	"fmt"
	"path"
	"sync"

	"github.com/MordragT/nuka/node/machine"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/wasmrt"
)

// maxCompiles is how often one build may ask for one module: once, and once more if the cached machine code cannot be used.
const maxCompiles = 2

// An answerer answers one build worker's questions for machine code, about its inputs, and for slots.
type answerer struct {
	machine *machine.Cache
	worker  *wasmrt.Worker
	slots   realize.Slots
	trees   *treeServer
	prepare func(program string) (done func())
	partial bool
	times   map[string]int
	running sync.WaitGroup
	room    *room // of a native build
	results *results

	mu      sync.Mutex
	files   map[string]string // files that it may read, and may ask to have compiled, each with its name for people
	held    []func()          // releases of the slots that the worker has
	waiting int               // slots that it has asked for
}

func newAnswerer(b *Builder, worker *wasmrt.Worker, job *realize.Job, partial bool) *answerer {
	a := &answerer{machine: b.Machine, worker: worker, slots: b.Slots, partial: partial, prepare: job.Prepare, files: map[string]string{}}
	a.trees = newTreeServer(b.Store, worker, &a.running, func(file, name string) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.files[file] = name
	})
	for _, in := range job.Inputs {
		a.trees.tell(in.CID, path.Base(in.Path))
	}
	return a
}

// take starts the answers to a message. It does not wait for them. A question that no worker of ours asks is an error.
func (a *answerer) take(ctx context.Context, reply *workerReply) error {
	if reply.Want != nil {
		if err := a.answer(ctx, reply.Want); err != nil {
			return err
		}
	}
	if reply.Look != nil {
		if err := a.trees.answer(ctx, reply.Look); err != nil {
			return err
		}
	}
	if reply.Run != nil || reply.Stop != 0 {
		if err := a.room.take(ctx, &a.running, reply); err != nil {
			return err
		}
	}
	if reply.Result != nil {
		if err := a.results.keep(reply.Result); err != nil {
			return err
		}
	}
	if reply.Slots != 0 {
		return a.slot(ctx, reply.Slots)
	}
	return nil
}

// answer compiles the module that a worker asks for, and then answers. It does not wait for that.
// A question that no worker of ours asks is an error.
func (a *answerer) answer(ctx context.Context, want *wantCode) error {
	if a.times == nil {
		a.times = map[string]int{}
	}
	a.times[want.File]++
	a.mu.Lock()
	name, known := a.files[want.File]
	a.mu.Unlock()
	if want.File == "" {
		name, known = "Nushell", true
	}
	if !known {
		return fmt.Errorf("the worker asks for machine code of %.200q, which is not one of its inputs", want.File)
	}
	if a.times[want.File] > maxCompiles {
		return fmt.Errorf("the worker asks for machine code of %.200q again and again", want.File)
	}
	a.running.Go(func() {
		var have haveCode
		if a.prepare != nil {
			defer a.prepare(name)()
		}
		if err := a.machine.Make(ctx, want.File, want.Again, a.partial); err != nil {
			a.machine.Log.Warn("machine code is not kept", "file", want.File, "error", err)
			have.Error = err.Error()
		}
		if err := a.worker.SendValue(parentAnswer{Code: &have}); err != nil {
			a.worker.Kill(err)
		}
	})
	return nil
}

// slot gives a worker a slot as soon as one is free, or takes one back. It does not wait.
// No worker of ours asks for more slots than there are, or gives back one that it does not have: that is an error.
func (a *answerer) slot(ctx context.Context, n int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case n == -1 && len(a.held) > 0:
		a.held[len(a.held)-1]()
		a.held = a.held[:len(a.held)-1]
		return nil
	case n != 1 || a.waiting+len(a.held) > 4*cap(a.slots):
		return fmt.Errorf("the worker asks for %d slots while it has %d and waits for %d", n, len(a.held), a.waiting)
	}
	a.waiting++
	a.running.Go(func() {
		release, err := a.slots.Take(ctx)
		if err != nil {
			return // the build is over
		}
		a.mu.Lock()
		a.waiting--
		a.held = append(a.held, release)
		a.mu.Unlock()
		if err := a.worker.SendValue(parentAnswer{Slot: true}); err != nil {
			a.worker.Kill(err)
		}
	})
	return nil
}

// wait waits until the compilers have ended, and frees the worker's slots. The context of the answers or the worker must have ended.
func (a *answerer) wait() {
	a.running.Wait()
	for _, release := range a.held {
		release()
	}
}
