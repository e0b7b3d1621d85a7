package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/MordragT/nuka/node/machine"
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

// asker asks the parent of a build worker for machine code, one module at a time.
type asker struct {
	conn *wasmrt.Conn
	mu   sync.Mutex
}

func (a *asker) ask(_ context.Context, missing *wasmrt.Missing) error {
	if missing.File == "" {
		// A module that the build has made is its own affair.
		if engine, err := nu.EngineCode(); err != nil || !bytes.Equal(engine, missing.Code) {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.conn.SendValue(workerReply{Want: &wantCode{File: missing.File, Again: missing.Again}}); err != nil {
		return err
	}
	var have haveCode
	if err := a.conn.RecvValue(&have); err != nil {
		return err
	}
	if have.Error != "" {
		return errors.New(have.Error)
	}
	return nil
}

// answerer answers one build worker's questions for machine code.
type answerer struct {
	machine *machine.Cache
	worker  *wasmrt.Worker
	files   map[string]string // which it may ask for, and their names for people
	prepare func(program string) (done func())
	partial bool
	times   map[string]int
	running sync.WaitGroup
}

// answer compiles what a worker asks for and then tells it. It does not wait for that.
// A question that no worker of ours has is an error.
func (a *answerer) answer(ctx context.Context, want *wantCode) error {
	if a.times == nil {
		a.times = map[string]int{}
	}
	a.times[want.File]++
	name, known := a.files[want.File]
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
		if err := a.worker.SendValue(have); err != nil {
			a.worker.Kill(err)
		}
	})
	return nil
}

// wait waits for the compilers to end. The context of the answers must have ended, or the worker.
func (a *answerer) wait() { a.running.Wait() }
