// Package machine fills the machine code cache of a node. A Cache compiles each module in a compile worker: a confined process that runs
// no program, so that the node can trust its machine code as far as it trusts the compiler.
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
	// maxCompileTime bounds the time of one compilation.
	maxCompileTime = 30 * time.Minute
	// maxCompileMemory bounds the memory of a compile worker, in bytes. It is enough for the largest modules; clang takes about two gigabytes.
	maxCompileMemory = 12 << 30
)

// A Cache is the folder of machine code that a node's builds and the user's command execute.
// A build worker runs programs of others, so no other process executes the files that it writes. Each module is compiled in a compile worker
// of its own, which gets only the module; this process copies the machine code into the cache.
// It is safe for concurrent use.
type Cache struct {
	Dir  string // the cache
	Work string // a folder for work in progress, which must exist
	// Engine returns the module that Make compiles when it gets no file.
	Engine func() ([]byte, error)
	Users  wasmrt.Users
	Log    *slog.Logger

	mu   sync.Mutex
	busy map[string]chan struct{} // modules being compiled; closed when the compilation has ended
}

// A job is the message to a compile worker.
type job struct {
	Module string `json:"module"` // the file
	Made   string `json:"made"`   // the folder for the machine code
}

// A reply is the answer of a compile worker.
type reply struct {
	Error string `json:"error,omitempty"`
}

// Make compiles a module into the cache: the module in a file, or Engine's if file is empty.
// If the cache has an entry, Make does nothing unless again is set. If partial is set, Make also works where a wall around the compiler is
// missing.
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
			again = false // the other call has just made the entry
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
	if err := os.Chmod(dir, 0o711); err != nil { // the worker may run as another user
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
	if err := m.run(ctx, &job{Module: file, Made: made}, partial); err != nil {
		return fmt.Errorf("compile worker: %w", err)
	}
	if err := wasmrt.Adopt(m.Dir, made, code); err != nil {
		return err
	}
	m.Log.Info("compiled a module", "file", file, "took", time.Since(start))
	return nil
}

// run runs a compile worker until it ends. When run returns, no process writes to the worker's folder any more.
func (m *Cache) run(ctx context.Context, j *job, partial bool) error {
	w, err := wasmrt.Spawn(ctx, &wasmrt.WorkerCommand{
		Args:     []string{Arg},
		Limits:   wasmrt.WorkerLimits{Memory: maxCompileMemory, Wall: maxCompileTime},
		ReadOnly: []string{j.Module}, ReadWrite: []string{j.Made}, Partial: partial, User: m.Users.Next(),
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
	_ = w.Close() // it has written everything when it replies; its exit status means nothing
	if r.Error != "" {
		return errors.New(r.Error)
	}
	return nil
}

// Main runs a compile worker: it compiles the one module that its parent names, and returns.
// It returns an error only if it cannot send the error to its parent.
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
