package nu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/source/kind"
	"github.com/MordragT/nuka/wasmrt"
)

// Where a build finds things.
const (
	StoreDir = "/nuka/store"
	SrcDir   = "/nuka/src"
	BuildDir = "/nuka/build"
	OutDir   = "/nuka/out"
)

// A BuildSpec is one build closure and what it may use.
type BuildSpec struct {
	// PIR is the canonical bytes of a PIR of kind build.
	PIR []byte
	// Kinds are those that it was evaluated with: a build closure may name their commands, which say that they do not run in a build.
	Kinds kind.Table
	// Host runs the programs it calls; its Path has the bin folders of the inputs.
	Host *wasmrt.Host
	// FS is the file system it sees: StoreDir/<PID> for every input, SrcDir or SrcDir/<name>, BuildDir and OutDir.
	FS *wasmrt.FS
	// Jobs is how many programs `run-all` runs at once; zero is one.
	Jobs int
	// Slot waits for a slot of the machine for a program beyond the first of those that `run-all` runs at once; nil: there are always some.
	Slot func(context.Context) (release func(), err error)
	// Stdout and Stderr get what the build and its programs write; nil drops it.
	Stdout, Stderr io.Writer
	// Event is told of every program that starts and ends, from several goroutines. It must return quickly. Nil is told nothing.
	Event func(BuildEvent)
	// Unpack unpacks an archive of FS into a folder of it, which is there; nil refuses.
	Unpack func(context.Context, *Unpacking) error
	// MemoryLimit bounds the memory of the script itself; zero is wasmrt's default.
	MemoryLimit int64
}

// An Unpacking is one call of the command unpack; paths are absolute.
type Unpacking struct {
	Archive string `json:"archive"`
	To      string `json:"to"`
	Strip   int    `json:"strip"` // leading folders to drop from the names
}

// A BuildEvent says that a program was started, or that it ended.
type BuildEvent struct {
	Args []string
	// Ended says that it ended, with the code Exit after Took.
	Ended bool
	Exit  int
	Took  time.Duration
}

// RunBuild runs a build closure to its end. A script or program that fails is an *Error.
func RunBuild(ctx context.Context, rt *wasmrt.Runtime, spec *BuildSpec) error {
	p, err := pir.Decode(spec.PIR)
	if err != nil {
		return fmt.Errorf("run build: %w", err)
	}
	if p.Kind != pir.Build {
		return fmt.Errorf("run build %s: it is of kind %s", p.Name, p.Kind)
	}
	req, err := buildRequest(p, max(1, spec.Jobs))
	if err != nil {
		return fmt.Errorf("run build %s: %w", p.Name, err)
	}
	b := &building{spec: spec, stdout: &lockedWriter{w: spec.Stdout}, stderr: &lockedWriter{w: spec.Stderr}}
	b.print = &scriptWriter{b: b, w: spec.Host.Meter(b.stdout)}
	mod, err := loadEngine(ctx, rt)
	if err != nil {
		return fmt.Errorf("run build %s: %w", p.Name, err)
	}
	_, err = callEngine(ctx, rt, mod, spec.Kinds, req, &wasmrt.ReactorConfig{
		Name: "nushell", FS: spec.FS, Dir: BuildDir, Host: b.host, Stdout: b.print,
		Stderr: &scriptWriter{b: b, w: spec.Host.Meter(b.stderr)}, MemoryLimit: spec.MemoryLimit,
	})
	var limit *wasmrt.LimitError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(b.fatal(), &limit): // even if the script went on
		return &Error{err: limit, Diags: []Diag{{Msg: "build of " + p.Name + " was ended: " + limit.What}}}
	case err == nil:
		return nil
	}
	var trap *wasmrt.TrapError
	if errors.As(err, &trap) {
		return &Error{err: err, Diags: []Diag{{Msg: "build of " + p.Name + " was ended: " + trap.Reason}}}
	}
	return err
}

func buildRequest(p *pir.PIR, jobs int) (map[string]any, error) {
	inputs := []string{} // not nil, which would be null on the way
	packages := nuon.Record{}
	for _, name := range slices.Sorted(maps.Keys(p.Packages)) {
		dir := StoreDir + "/" + p.Packages[name].String()
		packages[name] = dir
		inputs = append(inputs, dir)
	}
	arg := nuon.Record{"name": p.Name, "version": p.Version, "packages": packages, "out": OutDir, "jobs": int64(jobs)}
	switch {
	case !p.Src.One.IsZero():
		arg["src"] = SrcDir
	case len(p.Src.Named) > 0:
		src := nuon.Record{}
		for name := range p.Src.Named {
			src[name] = SrcDir + "/" + name
		}
		arg["src"] = src
	}
	closure, err := nuon.Encode(p.Build)
	if err != nil {
		return nil, err
	}
	text, err := nuon.Encode(arg)
	if err != nil {
		return nil, err
	}
	env := p.Env
	if env == nil {
		env = map[string]string{}
	}
	return map[string]any{
		"op": "build", "name": p.Name, "closure": string(closure), "arg": string(text), "cwd": BuildDir, "env": env, "inputs": inputs,
	}, nil
}

// lockedWriter lets several programs write.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	if l.w == nil {
		return len(p), nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// scriptWriter takes what the script itself writes. Too much of it ends the build, even if the script goes on.
type scriptWriter struct {
	b *building
	w io.Writer // metered
}

func (s *scriptWriter) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	var limit *wasmrt.LimitError
	if errors.As(err, &limit) {
		s.b.end(limit)
	}
	return n, err
}
