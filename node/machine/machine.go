// Package machine fills the machine code cache of a node. A Cache compiles each module in a compile worker: a confined process that runs
// no program, so that what it makes can be trusted as far as the compiler.
package machine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/MordragT/nuka/wasmrt"
)

// Arg is the argument that makes the daemon's program a compile worker: see Main.
const Arg = "compile-worker"

const (
	// maxCompileTime ends a compiler that does not end.
	maxCompileTime = 30 * time.Minute
	// maxCompileMemory is for the largest modules; clang takes about two gigabytes.
	maxCompileMemory = 12 << 30
)

// A Cache is the folder of machine code that a node's builds and the user's command execute.
// A build worker runs programs of others, so what it writes is executed nowhere else. Each module is compiled in a worker of its
// own, which gets the module alone; this process copies what it made.
// It is safe for concurrent use.
type Cache struct {
	Dir  string // the cache
	Work string // a folder for work in progress, which must exist
	// Engine returns the module that Make compiles when it gets no file.
	Engine func() ([]byte, error)
	Log    *slog.Logger

	mu   sync.Mutex
	busy map[string]chan struct{} // modules that are being compiled; closed when that has ended
}

// A job is the message to a compile worker.
type job struct {
	Module string `json:"module"` // the file
	Made   string `json:"made"`   // the folder for the machine code
}

// A reply is its answer.
type reply struct {
	Error string `json:"error,omitempty"`
}

// Make compiles a module into the cache: that of a file, or Engine's if file is empty.
// Unless again is set it does nothing if there is an entry. With partial it also works where a wall around the compiler is missing.
func (m *Cache) Make(ctx context.Context, file string, again, partial bool) error {
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

func (m *Cache) compile(ctx context.Context, file string, again, partial bool) error {
	dir, err := os.MkdirTemp(m.Work, "compile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the next start of the daemon removes what stays
	var code []byte
	if file != "" {
		code, err = os.ReadFile(file)
	} else if code, err = m.Engine(); err == nil {
		file = filepath.Join(dir, "engine.wasm")
		err = os.WriteFile(file, code, 0o600)
	}
	if err != nil {
		return err
	}
	if !again && wasmrt.Cached(m.Dir, code) {
		return nil
	}
	made := filepath.Join(dir, "made")
	if err := os.Mkdir(made, 0o700); err != nil {
		return err
	}
	start := time.Now()
	if err := run(ctx, &job{Module: file, Made: made}, partial); err != nil {
		return fmt.Errorf("compile worker: %w", err)
	}
	if err := wasmrt.Adopt(m.Dir, made, code); err != nil {
		return err
	}
	m.Log.Info("compiled a module", "file", file, "took", time.Since(start))
	return nil
}

// run runs a compile worker to its end: nothing writes to its folder any more when it has returned.
func run(ctx context.Context, j *job, partial bool) error {
	w, err := wasmrt.Spawn(ctx, &wasmrt.WorkerCommand{
		Args:     []string{Arg},
		Limits:   wasmrt.WorkerLimits{Memory: maxCompileMemory, Wall: maxCompileTime},
		ReadOnly: []string{j.Module}, ReadWrite: []string{j.Made}, Partial: partial,
	})
	if err != nil {
		return err
	}
	if err := w.SendValue(j); err != nil {
		w.Kill(err)
		return w.Wait()
	}
	var r reply
	if err := w.RecvValue(&r); err != nil {
		w.Kill(err)
		return errors.Join(w.Wait(), err)
	}
	_ = w.Close() // all is written when it replies; how it ends means nothing
	if r.Error != "" {
		return errors.New(r.Error)
	}
	return nil
}

// Main is a compile worker: it compiles the one module that its parent names, and ends.
// It returns an error only if it cannot tell its parent.
func Main() error {
	conn, err := wasmrt.Enter()
	if err != nil {
		return err
	}
	var j job
	if err := conn.RecvValue(&j); err != nil {
		return err
	}
	var r reply
	if err := wasmrt.CompileFile(context.Background(), j.Module, j.Made); err != nil {
		r.Error = err.Error()
	}
	return conn.SendValue(r)
}
