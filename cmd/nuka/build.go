package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

func (a *app) buildCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "build PKG… | PKG [flags of the package]",
		Short: "build packages, or reuse those that are built",
		Long: `Build gets the content of a package: from the store, from other nodes, or by building it from
source in a WebAssembly sandbox. It prints the PID and the CID.

Several packages are built one after the other, up to the first that fails; with --keep-going the others are built all the same.

With --dry-run it prints the plan. It asks other nodes for their statements, and changes nothing else.`,
		Example: "  nuka build lua\n  nuka build lua --dry-run\n  nuka build zlib --check\n  nuka build sed grep gawk --keep-going\n  nuka build ./hello.nu --nls -v",
	}
	var o buildOptions
	o.flags(c)
	c.Flags().BoolVar(&o.check, "check", false, "build the package again and compare the content")
	keepGoing := c.Flags().Bool("keep-going", false, "if a package fails, build the others")
	dryRun := c.Flags().Bool("dry-run", false, "print the plan and build nothing")
	best := c.Flags().Bool("best-cpu", false, "give the package the flag --cpu with the highest level of this machine that is here or attested, or else the machine's")
	a.packageFlags(c)
	a.jsonFlag(c)
	return a.packageCommand(c, func(c *cobra.Command, pkg string, args, rest []string) error {
		if len(rest) > 0 {
			return usage("build: %q: no program runs, so nothing takes this argument", rest[0])
		}
		packages, err := a.packagesOf(c, pkg, args)
		if err != nil {
			return err
		}
		if len(packages) > 1 {
			if *best || *dryRun || a.json {
				return usage("build: --best-cpu, --dry-run and --json take one package, and there are %d", len(packages))
			}
			return a.buildEach(c.Context(), packages, &o, *keepGoing)
		}
		if *best {
			var err error
			if args, err = a.bestLevel(c.Context(), pkg, args); err != nil {
				return err
			}
		}
		if *dryRun {
			return a.dryRun(c.Context(), pkg, args)
		}
		client, realized, err := a.build(c.Context(), pkg, args, &o)
		if err != nil {
			return err
		}
		defer client.Close()
		if a.json {
			return a.terminal.json(realized)
		}
		for _, out := range realized.Outputs {
			fmt.Fprintf(a.out, "%s %s\n", out.PID, out.CID)
		}
		return nil
	})
}

// buildEach builds packages one after the other. With keepGoing one that fails does not keep the others from being built.
func (a *app) buildEach(ctx context.Context, packages []asked, o *buildOptions, keepGoing bool) error {
	var failed []string
	for _, p := range packages {
		client, realized, err := a.build(ctx, p.pkg, nil, o)
		if err == nil {
			client.Close()
			for _, out := range realized.Outputs {
				fmt.Fprintf(a.out, "%s %s\n", out.PID, out.CID)
			}
			continue
		}
		if !keepGoing || ctx.Err() != nil {
			return err
		}
		a.fail(err, false)
		failed = append(failed, p.pkg)
	}
	if len(failed) > 0 {
		return protocol.Errorf(protocol.Failed, "%d of %d packages failed: %s", len(failed), len(packages), strings.Join(failed, ", "))
	}
	return nil
}

type buildOptions struct {
	check, keepFailed, verbose bool
	jobs, cores                int
	root                       string               // the name of a root to store for the package; "" stores none
	roots                      []protocol.Root      // more roots to store
	event                      func(protocol.Event) // is told of each event; nil: nobody
	wanted                     []pir.PID            // what to make present in place of the package itself
}

func (o *buildOptions) flags(c *cobra.Command) {
	c.Flags().BoolVar(&o.keepFailed, "keep-failed", false, "keep the folder of a failed build")
	c.Flags().IntVarP(&o.jobs, "jobs", "j", 0, "limit this request to `N` builds at a time; the setting jobs limits all requests together")
	c.Flags().IntVar(&o.cores, "cores", 0, "limit each build to `N` programs at a time")
	c.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "print the output of builds, and why a package is not built")
}

// build evaluates a package and asks the daemon to realize it. The caller closes the client.
// Evaluating and connecting each take about ten milliseconds even if there is nothing to build, so build does both concurrently.
func (a *app) build(ctx context.Context, pkg string, args []string, o *buildOptions) (*control.Client, *protocol.Realized, error) {
	client, result, err := a.evalConnected(ctx, pkg, args)
	if err != nil {
		return nil, nil, err
	}
	realized, err := a.realize(ctx, client, result, o)
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return client, realized, nil
}

// evalConnected evaluates a package and connects to the daemon at the same time.
func (a *app) evalConnected(ctx context.Context, pkg string, args []string) (*control.Client, *nu.Result, error) {
	client, results, err := a.evalAll(ctx, []asked{{pkg: pkg, args: args, set: a.set}})
	if err != nil {
		return nil, nil, err
	}
	return client, results[0], nil
}

// An asked names a package as the user asked for it.
type asked struct {
	pkg  string
	args []string
	set  string // folder of the package set; "" is the embedded set

	record func(virtual string) bool // see nu.Request.Record
	pinned *ecosystem.Recording      // see nu.Request.Pinned
}

// evalAll evaluates packages and connects to the daemon at the same time. The caller closes the client.
func (a *app) evalAll(ctx context.Context, packages []asked) (*control.Client, []*nu.Result, error) {
	type connection struct {
		client *control.Client
		err    error
	}
	connected := make(chan connection, 1)
	go func() {
		client, err := a.connect(ctx)
		connected <- connection{client, err}
	}()
	results, err := a.evalEach(ctx, packages)
	c := <-connected
	if err == nil {
		err = c.err
	}
	if err != nil {
		if c.client != nil {
			c.client.Close()
		}
		return nil, nil, err
	}
	return c.client, results, nil
}

// realize asks the daemon to realize the result of an evaluation.
func (a *app) realize(ctx context.Context, client *control.Client, result *nu.Result, o *buildOptions) (*protocol.Realized, error) {
	if err := a.upload(ctx, client, result); err != nil {
		return nil, err
	}
	call, packages := a.realizeArgs(result)
	call.Check, call.KeepFailed, call.Jobs, call.Cores = o.check, o.keepFailed, max(0, o.jobs), max(0, o.cores)
	call.Roots = o.roots
	if o.wanted != nil {
		call.Wanted = o.wanted
	}
	if o.root != "" {
		call.Roots = append(call.Roots, protocol.Root{Name: o.root, PID: result.Root})
	}
	registries, err := a.registries(result)
	if err != nil {
		return nil, err
	}
	call.Registries = registries
	progress := newProgress(a.terminal, o.verbose)
	progress.first = a.beforeClang(result)
	event := progress.event
	if o.event != nil {
		event = func(e protocol.Event) { o.event(e); progress.event(e) }
	}
	var realized protocol.Realized
	err = client.Call(ctx, protocol.OpRealize, call, &realized, &control.CallOptions{Event: event, Data: packages})
	progress.close()
	if err != nil {
		return nil, positioned(err, progress.failed, result)
	}
	a.warnEmpty(ctx, client, &realized)
	return &realized, nil
}

// realizeArgs returns the arguments of the realize call for the result of an evaluation, and the packages that follow the call.
func (a *app) realizeArgs(result *nu.Result) (*protocol.RealizeArgs, io.Reader) {
	packages := make([]protocol.Package, 0, len(result.Packages))
	for _, p := range result.Packages {
		given := protocol.Package{PIR: string(p.Canonical), Name: nameOf(p)}
		for _, origin := range p.Origins {
			given.Origins = append(given.Origins, string(origin))
		}
		packages = append(packages, given)
	}
	call := &protocol.RealizeArgs{Wanted: []pir.PID{result.Root}, Offline: a.offline, Follow: len(packages)}
	return call, protocol.Send(packages)
}

// registries returns the configuration, from this command's environment and the user's files, of the registries that the packages need.
// The command sends it because the daemon may have been started in another environment, with other settings.
func (a *app) registries(result *nu.Result) (json.RawMessage, error) {
	var origins []source.Origin
	for _, p := range result.Packages {
		for _, text := range p.Origins {
			origin, err := source.ParseOrigin(text)
			if err != nil {
				return nil, protocol.Errorf(protocol.Invalid, "%s: %w", nameOf(p), err)
			}
			origins = append(origins, origin)
		}
	}
	if len(origins) == 0 || a.offline || a.node != "" { // another node gets no credentials
		return nil, nil
	}
	return json.Marshal(a.client().Registries(origins...))
}

// beforeClang returns a function that progress calls for each step that starts. Before this node fetches clang, or an input of clang, for
// the first time, that function returns lines for the user, once.
func (a *app) beforeClang(result *nu.Result) func(pir.PID) []string {
	i := slices.IndexFunc(result.Packages, func(p nu.Package) bool { return p.Name == "clang" })
	if a.node != "" || i < 0 {
		return nil
	}
	of := map[pir.PID]bool{result.Packages[i].PID: true}
	if p, err := pir.Decode(result.Packages[i].Canonical); err == nil {
		for _, input := range p.Inputs() {
			of[input] = true
		}
	}
	said := false
	return func(id pir.PID) []string {
		if said || !of[id] {
			return nil
		}
		said = true
		return []string{
			"the first build here that needs clang downloads about 30 MiB and compiles clang for this machine, " +
				"which takes a minute or more and about 500 MiB, once",
			"the files are kept below " + a.home.Data + " and " + a.home.Cache,
		}
	}
}

// warnEmpty warns about each package that was built just now and whose output is empty. An empty output may be intended, so it is no error.
func (a *app) warnEmpty(ctx context.Context, client *control.Client, realized *protocol.Realized) {
	for _, out := range realized.Outputs {
		if out.Way != protocol.Built {
			continue
		}
		if entries, err := readFolder(ctx, client, out.CID); err != nil || len(entries) > 0 {
			continue
		}
		a.say("%s is empty", out.Name)
		a.hint("a build writes its files below $b.out")
	}
}

// nameOf returns a package's name for people.
func nameOf(p nu.Package) string {
	if p.Version == "" {
		return p.Name
	}
	return p.Name + " " + p.Version
}

// upload sends the files and folders that `fetch path` names and the daemon does not have.
func (a *app) upload(ctx context.Context, client *control.Client, result *nu.Result) error {
	for _, p := range result.Paths {
		var d protocol.Description
		err := client.Call(ctx, protocol.OpDescribe, protocol.PathArgs{ID: p.CID.String()}, &d, nil)
		if err == nil {
			continue
		}
		if protocol.CodeOf(err) != protocol.NotFound {
			return err
		}
		r, w := io.Pipe()
		go func() { w.CloseWithError(sendPath(w, &p)) }()
		var got protocol.Uploaded
		err = client.Call(ctx, protocol.OpUpload, protocol.UploadArgs{CID: p.CID.String()}, &got, &control.CallOptions{Data: r})
		r.Close()
		if err != nil {
			return fmt.Errorf("send %s: %w", p.Host, err)
		}
		if got.CID != p.CID.String() {
			return protocol.Errorf(protocol.Invalid, "%s changed while it was read", p.Host).WithHint("try again when nothing writes to it")
		}
	}
	return nil
}

// sendPath writes what a package file names, of this machine or of the embedded set.
func sendPath(w io.Writer, p *nu.PathInput) error {
	if rest, ok := strings.CutPrefix(p.Virtual, setMount+"/"); ok && p.Host == "" {
		info, err := fs.Stat(packages.FS, rest)
		if err != nil || !info.IsDir() {
			return errors.Join(err, sendTree(w, packages.FS, rest))
		}
		sub, err := fs.Sub(packages.FS, rest)
		return errors.Join(err, sendTree(w, nu.Sources(sub, p.PathOptions), "."))
	}
	at, err := filepath.EvalSymlinks(p.Host) // of a link, its target
	if err != nil {
		return err
	}
	info, err := os.Stat(at)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return sendTree(w, nu.Sources(os.DirFS(at), p.PathOptions), ".")
	}
	return sendTree(w, os.DirFS(filepath.Dir(at)), filepath.Base(at))
}

// sendTree writes a file or folder as a tar whose top entry is source.Out.
func sendTree(w io.Writer, tree fs.FS, top string) error {
	tw := tar.NewWriter(w)
	err := fs.WalkDir(tree, top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if target, err = fs.ReadLink(tree, p); err != nil {
				return err
			}
		}
		h, err := tar.FileInfoHeader(info, target)
		if err != nil {
			return err
		}
		h.Name = source.Out
		if p != top {
			h.Name = path.Join(source.Out, p)
		}
		if err := tw.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
			return err
		}
		f, err := tree.Open(p)
		if err != nil {
			return err
		}
		_, err = io.CopyN(tw, f, h.Size)
		return errors.Join(err, f.Close())
	})
	return errors.Join(err, tw.Close())
}
