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

// Paths that a build sees.
const (
	StoreDir = "/nuka/store"
	SrcDir   = "/nuka/src"
	BuildDir = "/nuka/build"
	OutDir   = "/nuka/out"
	// HomeDir is the home folder of the programs of a native build.
	HomeDir = "/tmp/home"
)

// A BuildSpec is one build closure with its resources and limits.
type BuildSpec struct {
	// PIR is the canonical bytes of a PIR of kind build or native.
	PIR []byte
	// Kinds are the kinds of sources of the closure's evaluation. A closure may name their commands, which refuse to run in a build.
	Kinds kind.Table
	// Host runs the programs that the closure calls. Its Path holds the bin folders of the inputs.
	Host *wasmrt.Host
	// FS is the build's file system: StoreDir/<PID> for every input, SrcDir or SrcDir/<name>, BuildDir and OutDir.
	FS *wasmrt.FS
	// Jobs is how many programs `run-all` runs at once; zero means one.
	Jobs int
	// Slot waits for one of the machine's slots. `run-all` calls it for each program beyond the first that it runs at once. Nil means no limit.
	Slot func(context.Context) (release func(), err error)
	// Stdout and Stderr receive the output of the build and its programs; nil discards it.
	Stdout, Stderr io.Writer
	// Event receives the start and end of every program, from several goroutines. It must return quickly. Nil discards the events.
	Event func(BuildEvent)
	// Native runs a program of the runtime of a native build and returns its exit code. Other builds have nil.
	Native func(context.Context, *NativeCommand) (exit int, err error)
	// Unpack unpacks an archive of FS into an existing folder of FS. If it is nil, the build cannot unpack.
	Unpack func(context.Context, *Unpacking) error
	// Instead runs in place of the first program, with the folder and the variables that this has, and ends the build with its error, or with ErrInstead.
	Instead func(context.Context, *wasmrt.Command) error
	// MemoryLimit bounds the memory of the script itself; zero means wasmrt's default.
	MemoryLimit int64
}

// An Unpacking is one call of the command unpack. Its paths are absolute.
type Unpacking struct {
	Archive string `json:"archive"`
	To      string `json:"to"`
	Strip   int    `json:"strip"` // leading folders to drop from the names
}

// A BuildEvent reports the start or the end of a program.
type BuildEvent struct {
	Args []string
	// Ended reports that the program ended, with the code Exit after Took.
	Ended bool
	Exit  int
	Took  time.Duration
}

// ErrInstead is the error of a build that BuildSpec.Instead has ended.
var ErrInstead = errors.New("the build was left")

// RunBuild runs a build closure. If a script or program fails, it returns an *Error.
func RunBuild(ctx context.Context, rt *wasmrt.Runtime, spec *BuildSpec) error {
	p, err := pir.Decode(spec.PIR)
	if err != nil {
		return fmt.Errorf("run build: %w", err)
	}
	if !p.Kind.Builds() || (p.Kind == pir.Native) != (spec.Native != nil) {
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
	case errors.Is(b.fatal(), ErrInstead):
		return b.fatal()
	case errors.As(b.fatal(), &limit): // even if the script caught the error
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
	inputs := []string{} // not nil, which JSON encodes as null
	packages := nuon.Record{}
	for _, name := range slices.Sorted(maps.Keys(p.Packages)) {
		dir := StoreDir + "/" + p.Packages[name].String()
		packages[name] = dir
		inputs = append(inputs, dir)
	}
	arg := nuon.Record{"name": p.Name, "version": p.Version, "packages": packages, "out": OutDir, "jobs": int64(jobs)}
	if p.Kind == pir.Native {
		nativeArg(p, arg)
	}
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
	if p.Kind == pir.Native {
		env = nativeEnv(p)
	}
	return map[string]any{
		"op": "build", "name": p.Name, "closure": string(closure), "arg": string(text), "cwd": BuildDir, "env": env, "inputs": inputs,
	}, nil
}

// lockedWriter is a writer for concurrent use.
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

// scriptWriter receives the output of the script itself. If the output exceeds its limit, the build ends, even if the script ignores the error.
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
