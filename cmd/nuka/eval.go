package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

const (
	setMount   = "/packages"
	userMount  = "/work"
	addedMount = "/set" // of a set that the user added
)

func (a *app) evalCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "eval PKG [flags of the package]",
		Short: "evaluate a package and print its PID",
		Long: `Eval evaluates a package file and prints its PID, which is its path in the store before it is built.
It downloads and builds nothing, with one exception: if a fetch has no hash, eval downloads the source and the error shows the hash.`,
		Example: "  nuka eval lua\n  nuka eval ./hello.nu --nls --json",
	}
	showPIR := c.Flags().Bool("pir", false, "print the canonical PIR")
	a.packageFlags(c)
	a.jsonFlag(c)
	return a.packageCommand(c, func(c *cobra.Command, pkg string, args, rest []string) error {
		if len(rest) > 0 {
			return usage("eval: %q: no program runs, so nothing takes this argument", rest[0])
		}
		result, err := a.eval(c.Context(), pkg, args)
		if err != nil {
			return err
		}
		root := result.Packages[slices.IndexFunc(result.Packages, func(p nu.Package) bool { return p.PID == result.Root })]
		switch {
		case a.json:
			return a.terminal.json(evaluationOf(result))
		case *showPIR:
			_, err = fmt.Fprintf(a.out, "%s\n", root.Canonical)
		default:
			_, err = fmt.Fprintln(a.out, result.Root)
		}
		return err
	})
}

func (a *app) packageFlags(c *cobra.Command) {
	c.Flags().StringVar(&a.set, "packages", os.Getenv("NUKA_PACKAGES"), "use the package set in `DIR` instead of all package sets")
	c.Flags().BoolVar(&a.offline, "offline", false, "use no network")
}

// evaluation is the JSON form of a result.
type evaluation struct {
	PID      pir.PID            `json:"pid"`
	Name     string             `json:"name"`
	Version  string             `json:"version"`
	Packages []evaluatedPackage `json:"packages"`
}

type evaluatedPackage struct {
	PID     pir.PID  `json:"pid"`
	Name    string   `json:"name"`
	Version string   `json:"version,omitempty"`
	PIR     string   `json:"pir"`
	Origins []string `json:"origins,omitempty"`
}

func evaluationOf(r *nu.Result) evaluation {
	out := evaluation{PID: r.Root, Name: r.Name, Version: r.Version}
	for _, p := range r.Packages {
		ep := evaluatedPackage{PID: p.PID, Name: p.Name, Version: p.Version, PIR: string(p.Canonical)}
		for _, o := range p.Origins {
			ep.Origins = append(ep.Origins, string(o))
		}
		out.Packages = append(out.Packages, ep)
	}
	return out
}

// setFS returns the package set in a folder; "" is the embedded set.
func setFS(at string) (fs.FS, string, error) {
	if at == "" {
		return packages.FS, "", nil
	}
	dir, err := filepath.Abs(at)
	if err != nil {
		return nil, "", err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, "", protocol.Errorf(protocol.Invalid, "package set: %w", err).WithHint("NUKA_PACKAGES or --packages names a folder of package files")
	}
	return root.FS(), dir, nil
}

// setNames lists the names of the embedded package set.
func setNames() []string {
	var names []string
	files, _ := fs.Glob(packages.FS, "app/*.nu")
	for _, f := range files {
		names = append(names, strings.TrimSuffix(path.Base(f), ".nu"))
	}
	return names
}

// isFile reports whether PKG names a package file, and not a package of the set.
func isFile(pkg string) bool {
	return strings.HasSuffix(pkg, ".nu") || strings.HasPrefix(pkg, ".") || filepath.IsAbs(pkg)
}

// projectOf returns the folder whose files a package file may use:
// the nearest one above it that is a repository, else its own.
func projectOf(file string) string {
	for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return filepath.Dir(file)
		}
	}
}

// shorter returns a folder's path relative to the current folder, if the folder lies in it, else the path unchanged.
func shorter(dir string) string {
	if here, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(here, dir); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return dir
}

// eval evaluates a package.
func (a *app) eval(ctx context.Context, pkg string, args []string) (*nu.Result, error) {
	results, err := a.evalEach(ctx, []asked{{pkg: pkg, args: args, set: a.set}})
	if err != nil {
		return nil, err
	}
	return results[0], nil
}

// evalEach evaluates packages one after the other. It replaces the names in packages by names that say which set they are from.
func (a *app) evalEach(ctx context.Context, packages []asked) ([]*nu.Result, error) {
	engine, err := nu.New(ctx, &nu.Options{CacheDir: a.home.Cache, Kinds: source.Table()})
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	results := make([]*nu.Result, len(packages))
	for i, p := range packages {
		f, err := a.find(p.pkg, p.set)
		if err != nil {
			return nil, err
		}
		packages[i].pkg = f.name
		results[i], err = engine.Eval(ctx, &nu.Request{Sets: f.mounts, File: f.file, Args: p.args, MissingHash: a.missingHash, Record: p.record, Pinned: p.pinned})
		if err = f.shown(results[i], err); err != nil {
			return nil, err
		}
		for _, m := range results[i].Messages {
			fmt.Fprintln(a.err, printable(m))
		}
	}
	return results, nil
}

// missingHash fetches a source that has no hash yet, so that the error can show the hash.
func (a *app) missingHash(ctx context.Context, m *nu.Missing) (pir.Hash, error) {
	if a.offline {
		return pir.Hash{}, errors.New("offline")
	}
	dir, err := os.MkdirTemp("", "nuka-fetch-")
	if err != nil {
		return pir.Hash{}, err
	}
	defer os.RemoveAll(dir)
	text, err := nuon.Encode(m.Origin)
	if err != nil {
		return pir.Hash{}, err
	}
	origin, err := source.ParseOrigin(text)
	if err != nil {
		return pir.Hash{}, err
	}
	a.say("fetching %s to learn its hash", origin)
	f := source.New(&source.Options{Client: a.client()})
	return f.Fetch(ctx, &source.Request{
		Origins: []source.Origin{origin}, Unpack: m.Unpack, Strip: m.Strip, Dir: dir,
		Notice: func(text string) { a.say("%s: %s", origin, text) },
	})
}

// client returns the configuration of the user's package managers, as they would read it in the current folder.
func (a *app) client() *source.Client {
	here, err := os.Getwd()
	if err != nil {
		here = "" // then client reads no project's settings
	}
	return &source.Client{Home: a.user, Dir: here, System: a.system, Getenv: os.Getenv, Run: source.RunClient}
}

// allRegistries returns the configuration of all registries, for a call that records what clients ask of them.
func (a *app) allRegistries() (json.RawMessage, error) {
	var origins []source.Origin
	for _, k := range source.Kinds() {
		origins = append(origins, source.Origin{Kind: source.OriginKind(k.Name)})
	}
	return json.Marshal(a.client().Registries(origins...))
}
