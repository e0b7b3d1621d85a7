package worker

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"path"
	"slices"
	"strings"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/adapters"
	"github.com/MordragT/nuka/foreign/proxy"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/sandbox"
)

// registry returns what answers the package manager of a build: the recorder of a build that records, or the build's recording; nil if it has none.
func (b *Builder) registry(ctx context.Context, job *realize.Job) (*realize.Registry, error) {
	switch {
	case job.Record != nil:
		return job.Record, nil
	case job.PIR.Recording.IsZero():
		return nil, nil
	}
	at, err := b.Store.Lookup(ctx, job.Recording, ecosystem.RecordingFile)
	if err != nil { // it is an open one: a file
		return nil, protocol.Errorf(protocol.Invalid, "the build has no recording of what its package manager asks").WithHint("record it: nuka lock")
	}
	text, err := b.readAll(ctx, at)
	if err != nil {
		return nil, err
	}
	recording, err := ecosystem.Decode(text)
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "the recording: %w", err)
	}
	session, err := adapters.Replay(recording, func(h pir.Hash) (io.ReadSeekCloser, error) {
		kept, err := b.Store.Lookup(ctx, job.Recording, h.String())
		if err != nil {
			return nil, cas.Coded(err)
		}
		f, err := b.Store.OpenFile(ctx, kept.CID)
		return f, cas.Coded(err)
	})
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "the recording: %w", err)
	}
	return &realize.Registry{Handler: session.Handler, Setup: session.Setup, Refusals: session.Refusals}, nil
}

// readAll reads a recording.
func (b *Builder) readAll(ctx context.Context, at cas.Entry) ([]byte, error) {
	if at.Size > ecosystem.MaxRecording {
		return nil, protocol.Errorf(protocol.Invalid, "the recording has more than %d bytes", ecosystem.MaxRecording)
	}
	f, err := b.Store.OpenFile(ctx, at.CID)
	if err != nil {
		return nil, cas.Coded(err)
	}
	defer f.Close()
	return io.ReadAll(f)
}

// connect puts the files of the registry's setup into the room.
func (r *room) connect() {
	if r.registry == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(r.registry.Setup.Files)) {
		r.spec.Mounts = append(r.spec.Mounts, sandbox.Mount{
			Kind: sandbox.File, Content: []byte(r.registry.Setup.Files[name]), Target: path.Join(ecosystem.SetupDir, name),
		})
	}
	r.spec.Listen = ecosystem.Port
}

// report writes what programs asked the registry and did not get into the build's log: what package managers print often hides it, and install scripts print nothing.
func (r *room) report(log io.Writer) {
	if r == nil || r.registry == nil || r.registry.Refusals == nil {
		return
	}
	for _, text := range r.registry.Refusals() {
		fmt.Fprintf(log, "nuka: refused: %s\n", text)
	}
}

// environ returns an environment with the variables of the registry's setup, which those of the build go before.
func (r *room) environ(env []string) []string {
	if r.registry == nil {
		return env
	}
	has := map[string]bool{}
	for _, pair := range env {
		name, _, _ := strings.Cut(pair, "=")
		has[name] = true
	}
	env = slices.Clone(env)
	for _, name := range slices.Sorted(maps.Keys(r.registry.Setup.Env)) {
		if !has[name] {
			env = append(env, name+"="+r.registry.Setup.Env[name])
		}
	}
	return env
}

// answer lets the registry answer in the network of a program. It ends when disconnect is called.
func (r *room) answer(ctx context.Context, options *sandbox.Options) (disconnect func()) {
	if r.registry == nil {
		return func() {}
	}
	serve := func(ctx context.Context, l net.Listener) error { return ecosystem.Serve(ctx, l, r.registry) }
	options.Listening, disconnect = proxy.Attach(ctx, serve, func(_ bool, err error) { r.end(err) })
	return disconnect
}
