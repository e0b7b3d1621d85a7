package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"sync"

	"github.com/MordragT/nuka/node/machine"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/wasmrt"
)

// maxCompiles is how often one build may ask for one module: once, and once more if what is there is of no use.
const maxCompiles = 2

// A wantCode is what a build worker asks for: machine code of a file of its inputs, or of the embedded Nushell if that is empty.
type wantCode struct {
	File  string `json:"file,omitempty"`
	Again bool   `json:"again,omitempty"`
}

// haveCode answers a wantCode. With an error the worker compiles for itself.
type haveCode struct {
	Error string `json:"error,omitempty"`
}

// A parentAnswer is what the node tells a build worker.
type parentAnswer struct {
	Code *haveCode `json:"code,omitempty"`
	Tree *haveTree `json:"tree,omitempty"`
	Slot bool      `json:"slot,omitempty"` // it has one slot more
}

// parent is the node, as its build worker sees it: it is asked for machine code, one module at a time, for what its inputs hold, and for
// slots.
type parent struct {
	conn  *wasmrt.Conn
	mu    sync.Mutex // one question for code
	code  chan *haveCode
	looks looks
	gone  chan struct{} // closed when the node is heard no more

	waits   sync.Mutex
	waiting []chan struct{} // waits for a slot, the oldest first
	asked   int             // slots that the node was asked for and has not sent
}

func newParent(conn *wasmrt.Conn) *parent {
	p := &parent{conn: conn, code: make(chan *haveCode), looks: newLooks(), gone: make(chan struct{})}
	go p.listen()
	return p
}

func (p *parent) listen() {
	defer close(p.gone)
	for {
		var a parentAnswer
		if err := p.conn.RecvValue(&a); err != nil {
			return
		}
		if a.Code != nil {
			p.code <- a.Code
		}
		if a.Tree != nil {
			p.looks.told(a.Tree)
		}
		if a.Slot {
			p.takeSlot()
		}
	}
}

var errParentGone = errors.New("the node is gone")

// slot waits for a slot beyond the build's own. The caller calls release when it needs the slot no more.
// If a wait is cancelled, the next one takes over its request, so the node never sees more requests than there are waits.
func (p *parent) slot(ctx context.Context) (release func(), err error) {
	got := make(chan struct{}, 1)
	p.waits.Lock()
	p.waiting = append(p.waiting, got)
	ask := p.asked < len(p.waiting)
	if ask {
		p.asked++
	}
	p.waits.Unlock()
	if ask {
		err = p.conn.SendValue(workerReply{Slots: 1})
	}
	if err == nil {
		select {
		case <-got:
			return p.releaseSlot, nil
		case <-p.gone:
			err = errParentGone
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	p.waits.Lock()
	i := slices.Index(p.waiting, got)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.waits.Unlock()
	if i < 0 { // the slot arrived meanwhile
		p.releaseSlot()
	}
	return nil, err
}

// takeSlot hands a slot that the node has sent to the first wait, or gives it back if there is none.
func (p *parent) takeSlot() {
	p.waits.Lock()
	p.asked--
	wanted := len(p.waiting) > 0
	if wanted {
		p.waiting[0] <- struct{}{}
		p.waiting = slices.Delete(p.waiting, 0, 1)
	}
	p.waits.Unlock()
	if !wanted {
		p.releaseSlot()
	}
}

// releaseSlot gives a slot back. It ignores errors: without a node there are no slots.
func (p *parent) releaseSlot() { _ = p.conn.SendValue(workerReply{Slots: -1}) }

func (p *parent) ask(_ context.Context, missing *wasmrt.Missing) error {
	if missing.File == "" {
		// A module that the build has made is its own affair.
		if engine, err := nu.EngineCode(); err != nil || !bytes.Equal(engine, missing.Code) {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.conn.SendValue(workerReply{Want: &wantCode{File: missing.File, Again: missing.Again}}); err != nil {
		return err
	}
	select {
	case have := <-p.code:
		if have.Error != "" {
			return errors.New(have.Error)
		}
		return nil
	case <-p.gone:
		return errParentGone
	}
}

// answerer answers one build worker's questions for machine code, what its inputs hold, and slots.
type answerer struct {
	machine *machine.Cache
	worker  *wasmrt.Worker
	slots   realize.Slots
	trees   *treeServer
	prepare func(program string) (done func())
	partial bool
	times   map[string]int
	running sync.WaitGroup

	mu      sync.Mutex
	files   map[string]string // those that it may read, and so have compiled, and their names for people
	held    []func()          // releases of the slots that the worker has
	waiting int               // slots that it has asked for
}

func newAnswerer(b *builder, worker *wasmrt.Worker, job *realize.Job, partial bool) *answerer {
	a := &answerer{machine: b.machine, worker: worker, slots: b.slots, partial: partial, prepare: job.Prepare, files: map[string]string{}}
	a.trees = newTreeServer(b.store, worker, &a.running, func(file, name string) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.files[file] = name
	})
	for _, in := range job.Inputs {
		a.trees.tell(in.CID, path.Base(in.Path))
	}
	return a
}

// answer compiles what a worker asks for and then tells it. It does not wait for that.
// A question that no worker of ours has is an error.
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
		return fmt.Errorf("it wants machine code of %.200q, which is none of its inputs", want.File)
	}
	if a.times[want.File] > maxCompiles {
		return fmt.Errorf("it wants machine code of %.200q again and again", want.File)
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

// slot gives a worker a slot, once there is a free one, or takes one back. It does not wait.
// To ask for more than all, or to give back what it has not, is what no worker of ours does.
func (a *answerer) slot(ctx context.Context, n int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case n == -1 && len(a.held) > 0:
		a.held[len(a.held)-1]()
		a.held = a.held[:len(a.held)-1]
		return nil
	case n != 1 || a.waiting+len(a.held) > 4*cap(a.slots):
		return fmt.Errorf("it asks for %d slots while it has %d and waits for %d", n, len(a.held), a.waiting)
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

// wait waits for the compilers to end, and frees the worker's slots. The context of the answers must have ended, or the worker.
func (a *answerer) wait() {
	a.running.Wait()
	for _, release := range a.held {
		release()
	}
}
