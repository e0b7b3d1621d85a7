package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/wasmrt"
)

// CompileArg is the argument that makes the daemon's program a compile worker: see RunCompiler.
const CompileArg = "compile-worker"

const (
	// maxCompileTime ends a compiler that does not end.
	maxCompileTime = 30 * time.Minute
	// maxCompileMemory is for the largest modules; clang takes about two gigabytes.
	maxCompileMemory = 12 << 30
	// maxCompiles is how often one build may ask for one module: once, and once more if what is there is of no use.
	maxCompiles = 2
)

// machineCode fills the machine code cache for builds.
// A build worker runs programs of others, so what it writes is executed nowhere else. Each module is compiled in a worker of its
// own, which runs no program and gets the module alone; this process copies what it made.
type machineCode struct {
	dir  string // the cache
	work string // a folder for work in progress
	log  *slog.Logger

	mu   sync.Mutex
	busy map[string]chan struct{} // modules that are being compiled; closed when that has ended
}

// A compileJob is the message to a compile worker.
type compileJob struct {
	Module string `json:"module"` // the file
	Made   string `json:"made"`   // the folder for the machine code
}

// make compiles a module into the cache: that of a file, or the embedded Nushell if file is empty.
// Unless again is set it does nothing if there is an entry.
func (m *machineCode) make(ctx context.Context, file string, again, partial bool) error {
	for {
		m.mu.Lock()
		other := m.busy[file]
		if other == nil {
			if m.busy == nil {
				m.busy = map[string]chan struct{}{}
			}
			done := make(chan struct{})
			m.busy[file] = done
			m.mu.Unlock()
			err := m.compile(ctx, file, again, partial)
			m.mu.Lock()
			delete(m.busy, file)
			m.mu.Unlock()
			close(done)
			return err
		}
		m.mu.Unlock()
		select {
		case <-other:
			again = false // that one was made just now
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *machineCode) compile(ctx context.Context, file string, again, partial bool) error {
	dir, err := os.MkdirTemp(m.work, "compile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the next start of the daemon removes what stays
	var code []byte
	if file != "" {
		code, err = os.ReadFile(file)
	} else if code, err = nu.EngineCode(); err == nil {
		file = filepath.Join(dir, "engine.wasm")
		err = os.WriteFile(file, code, 0o600)
	}
	if err != nil {
		return err
	}
	if !again && wasmrt.Cached(m.dir, code) {
		return nil
	}
	made := filepath.Join(dir, "made")
	if err := os.Mkdir(made, 0o700); err != nil {
		return err
	}
	start := time.Now()
	if err := runCompiler(ctx, &compileJob{Module: file, Made: made}, partial); err != nil {
		return fmt.Errorf("compile worker: %w", err)
	}
	if err := wasmrt.Adopt(m.dir, made, code); err != nil {
		return err
	}
	m.log.Info("compiled a module", "file", file, "took", time.Since(start))
	return nil
}

// runCompiler runs a compile worker to its end: nothing writes to its folder any more when it has returned.
func runCompiler(ctx context.Context, job *compileJob, partial bool) error {
	w, err := wasmrt.Spawn(ctx, &wasmrt.WorkerCommand{
		Args:     []string{CompileArg},
		Limits:   wasmrt.WorkerLimits{Memory: maxCompileMemory, Wall: maxCompileTime},
		ReadOnly: []string{job.Module}, ReadWrite: []string{job.Made}, Partial: partial,
	})
	if err != nil {
		return err
	}
	text, err := json.Marshal(job)
	if err == nil {
		err = w.Send(text)
	}
	if err != nil {
		w.Kill(err)
		return w.Wait()
	}
	text, err = w.Recv()
	if err != nil {
		w.Kill(err)
		return errors.Join(w.Wait(), err)
	}
	var reply workerReply
	err = json.Unmarshal(text, &reply)
	if closed := w.Close(); err == nil {
		err = closed
	}
	if err == nil && reply.Error != nil {
		err = reply.Error
	}
	return err
}

// RunCompiler is a compile worker: it compiles the one module that its parent names, and ends.
// It returns an error only if it cannot tell its parent.
func RunCompiler() error {
	conn, err := wasmrt.Enter()
	if err != nil {
		return err
	}
	text, err := conn.Recv()
	if err != nil {
		return err
	}
	var job compileJob
	if err := json.Unmarshal(text, &job); err != nil {
		return err
	}
	reply := workerReply{Done: true}
	if err := wasmrt.CompileFile(context.Background(), job.Module, job.Made); err != nil {
		reply.Error = workerError(err)
	}
	return sendReply(conn, reply)
}

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
	if err := sendReply(a.conn, workerReply{Want: &wantCode{File: missing.File, Again: missing.Again}}); err != nil {
		return err
	}
	text, err := a.conn.Recv()
	if err != nil {
		return err
	}
	var have haveCode
	if err := json.Unmarshal(text, &have); err != nil {
		return err
	}
	if have.Error != "" {
		return errors.New(have.Error)
	}
	return nil
}

// answerer answers one build worker's questions for machine code.
type answerer struct {
	machine *machineCode
	worker  *wasmrt.Worker
	files   map[string]bool // which it may ask for
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
	if want.File != "" && !a.files[want.File] {
		return fmt.Errorf("it wants machine code of %.200q, which is none of its inputs", want.File)
	}
	if a.times[want.File] > maxCompiles {
		return fmt.Errorf("it wants machine code of %.200q again and again", want.File)
	}
	a.running.Go(func() {
		var have haveCode
		if err := a.machine.make(ctx, want.File, want.Again, a.partial); err != nil {
			a.machine.log.Warn("machine code is not kept", "file", want.File, "error", err)
			have.Error = err.Error()
		}
		text, err := json.Marshal(have)
		if err == nil {
			err = a.worker.Send(text)
		}
		if err != nil {
			a.worker.Kill(err)
		}
	})
	return nil
}

// wait waits for the compilers to end. The context of the answers must have ended, or the worker.
func (a *answerer) wait() { a.running.Wait() }
