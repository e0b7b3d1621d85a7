package main

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

// runtimeFolders are the folders of a package set that have runtimes.
var runtimeFolders = []string{"base", "lang"}

func (a *app) runtimeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "runtime",
		Short: "show the runtimes of foreign programs",
		Long: `A runtime is an environment with the tree of an ordinary Linux system, for nuka exec: the base runtime, and with it a language or what you add in a package
file of your own (docs/runtimes.md).`,
	}
	c.AddCommand(a.runtimeList(), a.runtimeShow(), a.runtimeDiff(), a.runtimeSize())
	return group(c)
}

// A runtimeInfo is the JSON of one runtime.
type runtimeInfo struct {
	Name     string           `json:"name"`
	About    string           `json:"about,omitempty"`
	PID      string           `json:"pid"`
	Platform string           `json:"platform"`
	Packages []runtimePackage `json:"packages,omitempty"`
}

// A runtimePackage is one package of a runtime.
type runtimePackage struct {
	Name    string  `json:"name"`
	Version string  `json:"version"`
	PID     pir.PID `json:"pid"`
}

// runtimeOf evaluates a runtime.
func (a *app) runtimeOf(ctx context.Context, pkg string) (*runtimeInfo, *nu.Result, error) {
	r, err := a.eval(ctx, a.preferred(pkg, runtimeFolders...), nil)
	if err != nil {
		return nil, nil, err
	}
	p, err := rootPIR(r)
	if err != nil {
		return nil, nil, err
	}
	if p.Layout != pir.LayoutFHS1 {
		return nil, nil, noRuntime(pkg)
	}
	info := &runtimeInfo{Name: r.Name, PID: r.Root.String(), Platform: p.Platform.String()}
	versions := map[pir.PID]string{}
	for _, q := range r.Packages {
		versions[q.PID] = versionOf(q)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Packages)) {
		id := p.Packages[name]
		info.Packages = append(info.Packages, runtimePackage{name, versions[id], id})
	}
	return info, r, nil
}

func noRuntime(pkg string) error {
	return protocol.Errorf(protocol.Invalid, "%s is no runtime", pkg).
		WithHint("a runtime is an environment with layout: %s; nuka runtime list shows those of the package set; add another package to one: nuka exec --with %s", pir.LayoutFHS1, pkg)
}

// versionOf returns the version of a package: its own, or that of the release that it is fetched from.
func versionOf(p nu.Package) string {
	if p.Version != "" || len(p.Origins) == 0 {
		return p.Version
	}
	o, err := source.ParseOrigin(p.Origins[0])
	if err != nil {
		return ""
	}
	return o.Version
}

func (a *app) runtimeList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "list the runtimes of the package set", Args: exactArgs()}
	a.jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		out := []runtimeInfo{}
		for _, folder := range runtimeFolders {
			files, err := fs.Glob(packages.FS, path.Join(folder, "*.nu"))
			if err != nil {
				return err
			}
			for _, file := range files {
				doc, params, err := nu.Params(packages.FS, file)
				if err != nil {
					return err
				}
				if params == nil {
					continue // a module without a package
				}
				info, _, err := a.runtimeOf(c.Context(), strings.TrimSuffix(path.Base(file), ".nu"))
				if protocol.CodeOf(err) == protocol.Invalid {
					continue
				}
				if err != nil {
					return err
				}
				info.About = summary(packages.FS, file, doc)
				out = append(out, *info)
			}
		}
		if a.json {
			return a.terminal.json(out)
		}
		w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		for _, r := range out {
			fmt.Fprintf(w, "%s\t%s\t%s\n", r.Name, counted(len(r.Packages), "package"), printable(r.About))
		}
		return w.Flush()
	}
	return c
}

func (a *app) runtimeShow() *cobra.Command {
	c := &cobra.Command{Use: "show RUNTIME", Short: "show the packages of a runtime", Args: exactArgs("RUNTIME")}
	a.jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		info, _, err := a.runtimeOf(c.Context(), args[0])
		if err != nil {
			return err
		}
		if a.json {
			return a.terminal.json(info)
		}
		fmt.Fprintf(a.out, "%s  %s  %s\n", info.Name, info.Platform, info.PID)
		w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		for _, p := range info.Packages {
			fmt.Fprintf(w, "  %s\t%s\n", p.Name, printable(p.Version))
		}
		return w.Flush()
	}
	return c
}

// A runtimeChange is a package that two runtimes have in different versions, or that one of them has not.
type runtimeChange struct {
	Name string `json:"name"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

func (a *app) runtimeDiff() *cobra.Command {
	c := &cobra.Command{Use: "diff RUNTIME RUNTIME", Short: "show the packages in which two runtimes differ", Args: exactArgs("RUNTIME", "RUNTIME")}
	a.jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		var sides [2]map[string]runtimePackage
		for i, arg := range args {
			info, _, err := a.runtimeOf(c.Context(), arg)
			if err != nil {
				return err
			}
			sides[i] = map[string]runtimePackage{}
			for _, p := range info.Packages {
				sides[i][p.Name] = p
			}
		}
		names := maps.Clone(sides[0])
		maps.Copy(names, sides[1])
		out := []runtimeChange{}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if old, fresh := sides[0][name], sides[1][name]; old.PID != fresh.PID {
				out = append(out, runtimeChange{name, old.Version, fresh.Version})
			}
		}
		if a.json {
			return a.terminal.json(out)
		}
		for _, change := range out {
			switch {
			case sides[0][change.Name].PID.IsZero():
				fmt.Fprintf(a.out, "+ %s %s\n", change.Name, printable(change.New))
			case sides[1][change.Name].PID.IsZero():
				fmt.Fprintf(a.out, "- %s %s\n", change.Name, printable(change.Old))
			default:
				fmt.Fprintf(a.out, "~ %s %s → %s\n", change.Name, printable(change.Old), printable(change.New))
			}
		}
		return nil
	}
	return c
}

// A runtimeSize is the room that a package of a runtime takes.
type runtimeSize struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

func (a *app) runtimeSize() *cobra.Command {
	c := &cobra.Command{
		Use: "size RUNTIME", Short: "show how much room a runtime and its packages take", Args: exactArgs("RUNTIME"),
		Long: "Size makes a runtime present and shows its packages, the largest first, and the tree that they make together.",
	}
	var o buildOptions
	o.flags(c)
	a.jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		info, r, err := a.runtimeOf(c.Context(), args[0])
		if err != nil {
			return err
		}
		client, err := a.connect(c.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		if _, err := a.realize(c.Context(), client, r, &o); err != nil {
			return err
		}
		tree, err := sizeOf(c.Context(), client, r.Root)
		if err != nil {
			return err
		}
		var list []runtimeSize
		for _, p := range info.Packages {
			n, err := sizeOf(c.Context(), client, p.PID)
			if err != nil {
				return err
			}
			list = append(list, runtimeSize{p.Name, n})
		}
		slices.SortStableFunc(list, func(a, b runtimeSize) int { return int(b.Size - a.Size) })
		if a.json {
			return a.terminal.json(map[string]any{"size": tree, "packages": list})
		}
		w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		for _, p := range list {
			fmt.Fprintf(w, "%s\t%s\n", p.Name, size(p.Size))
		}
		fmt.Fprintf(w, "%s as one tree\t%s\n", info.Name, size(tree))
		return w.Flush()
	}
	return c
}

func sizeOf(ctx context.Context, client *control.Client, id pir.PID) (int64, error) {
	var d protocol.Description
	err := client.Call(ctx, protocol.OpDescribe, protocol.PathArgs{ID: id.String()}, &d, nil)
	return d.Size, err
}
