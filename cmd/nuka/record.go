package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/foreign"
	"github.com/MordragT/nuka/foreign/lack"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

type recordOptions struct {
	build  buildOptions
	check  bool // write nothing
	update bool // although there is a recording
	auto   bool // add the Debian packages that a failed build lacks
	rules  recordRules
}

// recordRules are what the command line and the configuration say about recordings.
type recordRules struct {
	cooldown time.Duration
	exempt   []string
	hosts    []string // HOST or HOST:PORT, which clients may reach although no registry is there
}

func (r *recordRules) flags(f *pflag.FlagSet, when string) {
	f.DurationVar(&r.cooldown, "cooldown", config.DefaultCooldown, when+"leave out versions that are younger than `TIME`; 0 takes all")
	f.StringArrayVar(&r.exempt, "exempt", nil, when+"take young versions of the package `NAME` of the registry")
}

// configured sets what the command line leaves to the configuration, for an ecosystem.
func (r *recordRules) configured(f *pflag.FlagSet, name string, e *config.Ecosystem) {
	if !f.Changed("cooldown") {
		r.cooldown = e.CooldownOf(name)
	}
	if !f.Changed("exempt") {
		r.exempt = e.Exempt[name]
	}
}

// ecosystemSettings reads what the configuration says about recordings.
func (a *app) ecosystemSettings() (*config.Ecosystem, error) {
	f, err := config.Open(a.home.Config())
	if err != nil {
		return nil, err
	}
	return &f.Get().Ecosystem, nil
}

// recordPackage records what the package manager of a package asks, and writes the recording. Then it builds the package from the recording.
func (a *app) recordPackage(c *cobra.Command, pkg string, args []string, o *recordOptions) error {
	ctx := c.Context()
	result, at, err := a.evalOpen(ctx, pkg, args, nil)
	if err != nil {
		return err
	}
	before, err := readRecording(at)
	if err != nil {
		return err
	}
	if before != nil && !o.update && !o.check {
		a.say("%s is there already; nuka lock --update records again", shorter(at))
		return a.buildRecorded(ctx, pkg, args, at, o)
	}
	settings, err := a.ecosystemSettings()
	if err != nil {
		return err
	}
	o.rules.configured(c.Flags(), openEcosystem(result), settings)
	client, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close() // the node keeps what was recorded as long as the connection lasts
	after, err := a.recordPinned(ctx, client, pkg, args, before, o)
	if err != nil {
		return err
	}
	text, err := after.Encode()
	if err != nil {
		return err
	}
	changes := ecosystem.Changes(before, after)
	if err := a.showRecorded(at, changes, after, len(text)); err != nil {
		return err
	}
	if o.check {
		if len(changes) > 0 {
			return exitError(exitCodes[protocol.Differs])
		}
		return nil
	}
	if before != nil && len(changes) > 0 {
		if err := a.confirm(c, fmt.Sprintf("%s is replaced, with %s", shorter(at), counted(len(changes), "change"))); err != nil {
			return err
		}
	}
	if err := writeShared(at, nil, text); err != nil {
		return err
	}
	return a.buildRecorded(ctx, pkg, args, at, o)
}

// buildRecorded builds a package from its recording, and adds to the recording the Debian packages of the libraries that the output was found to need.
// Then it builds again, until nothing is missing: their libraries may need others, and a changed runtime is another package.
func (a *app) buildRecorded(ctx context.Context, pkg string, args []string, at string, o *recordOptions) error {
	for round := 0; ; round++ {
		client, result, err := a.evalConnected(ctx, pkg, args)
		if err != nil {
			return err
		}
		realized, more, err := a.buildScanned(ctx, client, result, at, round < maxRounds, o)
		client.Close()
		if err != nil {
			return fmt.Errorf("build from the recording: %w", err)
		}
		if more {
			continue
		}
		if !a.json {
			for _, out := range realized.Outputs {
				fmt.Fprintf(a.out, "%s %s\n", out.PID, out.CID)
			}
		}
		return nil
	}
}

// recordingIn returns the recording at a path of this machine among what a package is made of. The package itself need not be what was recorded: a program of Go may be
// recorded by the native go command, and built by the one in WebAssembly.
func recordingIn(result *nu.Result, at string) (pir.PID, error) {
	files := map[pir.PID]bool{}
	for _, in := range result.Paths {
		if in.Host == at {
			files[in.PID] = true
		}
	}
	for _, p := range result.Packages {
		d, err := pir.Decode(p.Canonical)
		if err != nil {
			return pir.PID{}, err
		}
		if d.Layout == pir.LayoutFiles1 && files[d.Packages[ecosystem.RecordingFile]] {
			return p.PID, nil
		}
	}
	return pir.PID{}, protocol.Errorf(protocol.Internal, "lock: %s is not made of the recording %s", result.Name, at)
}

// recordingRoot returns the name of the root that keeps the files of a recording.
func recordingRoot(at string) string {
	return protocol.RootUser + "recording/" + foreign.AppOfFile(at)
}

// evalOpen evaluates a package with its own recording open, and returns where the recording is to be.
func (a *app) evalOpen(ctx context.Context, pkg string, args []string, pinned *ecosystem.Recording) (*nu.Result, string, error) {
	var own string // "": all are open
	for {
		results, err := a.evalEach(ctx, []asked{{pkg: pkg, args: args, set: a.set, pinned: pinned, record: func(at string) bool { return own == "" || at == own }}})
		if err != nil {
			return nil, "", err
		}
		r := results[0]
		root, err := rootPIR(r)
		if err != nil {
			return nil, "", err
		}
		i := slices.IndexFunc(r.Opened, func(in nu.PathInput) bool { return in.PID == root.Recording })
		if root.Recording == (pir.PID{}) || i < 0 {
			return nil, "", protocol.Errorf(protocol.Invalid, "lock: %s has no recording, so there is nothing to lock", pkg).
				WithHint("nuka lock DIR refreshes the lock files of Debian packages; a package of a language has the field recording")
		}
		if len(r.Opened) > 1 && own == "" { // those of packages that it uses stay as they are
			own = r.Opened[i].Virtual
			continue
		}
		if r.Opened[i].Host == "" {
			return nil, "", protocol.Errorf(protocol.Invalid, "lock: the package set is part of nuka, and cannot be changed").
				WithHint("copy the package file into a folder of your own, or name a folder with the set: --packages DIR")
		}
		return r, r.Opened[i].Host, nil
	}
}

// openEcosystem returns the ecosystem of the open recording of an evaluated package.
func openEcosystem(r *nu.Result) string {
	root, err := rootPIR(r)
	if err != nil {
		return ""
	}
	for _, p := range r.Packages {
		if p.PID != root.Recording {
			continue
		}
		if decoded, err := pir.Decode(p.Canonical); err == nil {
			name, _, _ := ecosystem.Opened(decoded)
			return name
		}
	}
	return ""
}

// record has the node record. If the build fails, it returns what the build's output says to be lacking.
func (a *app) record(ctx context.Context, client *control.Client, result *nu.Result, o *recordOptions) (*protocol.Recorded, []lack.Lack, error) {
	if err := a.upload(ctx, client, result); err != nil {
		return nil, nil, err
	}
	realize, packages := a.realizeArgs(result)
	call := protocol.RecordArgs{RealizeArgs: *realize, Cooldown: o.rules.cooldown, Exempt: o.rules.exempt, Hosts: o.rules.hosts}
	call.KeepFailed, call.Jobs, call.Cores = o.build.keepFailed, o.build.jobs, o.build.cores
	var err error
	if call.Registries, err = a.allRegistries(); err != nil {
		return nil, nil, err
	}
	progress := newProgress(a.terminal, o.build.verbose)
	var recorded protocol.Recorded
	var lacking lack.Reader
	err = client.Call(ctx, protocol.OpRecord, call, &recorded, &control.CallOptions{Data: packages, Event: func(e protocol.Event) {
		if e.Kind == protocol.EventLog && e.PID == result.Root {
			lacking.Line(e.Text)
		}
		progress.event(e)
	}})
	progress.close()
	if err != nil {
		return nil, lacking.Lacks(), positioned(err, progress.failed, result)
	}
	return &recorded, nil, nil
}

// readRecording reads a recording; nil: there is none, or none that can be read, which a new one replaces.
func readRecording(at string) (*ecosystem.Recording, error) {
	text, err := os.ReadFile(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := ecosystem.Decode(text)
	if err != nil {
		return nil, nil //nolint:nilerr // the new one replaces it
	}
	return r, nil
}

// recordReport is the JSON form of what a recording changed.
type recordReport struct {
	File    string             `json:"file"`
	Files   int                `json:"files"`
	Bytes   int                `json:"bytes"` // of the recording
	Changes []ecosystem.Change `json:"changes"`
}

// showRecorded prints what a new recording changes.
func (a *app) showRecorded(at string, changes []ecosystem.Change, after *ecosystem.Recording, size int) error {
	r := recordReport{shorter(at), len(after.Files()), size, append([]ecosystem.Change{}, changes...)}
	if a.json {
		return a.terminal.json(r)
	}
	fmt.Fprintf(a.out, "%s: %s, %d changed\n", printable(r.File), counted(r.Files, "file"), len(r.Changes))
	for _, c := range r.Changes {
		fmt.Fprintln(a.out, printable(c.String()))
	}
	return nil
}
