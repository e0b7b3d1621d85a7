package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/profile"
	"github.com/MordragT/nuka/protocol"
)

func (a *app) gcCommand() *cobra.Command {
	var args protocol.CollectArgs
	var most, recent string
	c := &cobra.Command{
		Use:   "gc",
		Short: "remove from the store what nothing needs",
		Long: `Gc removes packages and content that no root keeps (nuka root list), that no other kept package refers to, and that nothing
uses now: no running program, build or transfer. Installs, builds and transfers go on meanwhile. nuka why PKG says what keeps a package.

SIZE is a number of bytes as in 500MB or 10GiB, TIME a time as in 12hr or 7day.`,
		Example: "  nuka gc --dry-run\n  nuka gc --keep-recent 30day\n  nuka gc --max 20GiB --generations 3",
		Args:    exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if most != "" {
				if args.Max, err = sizeWord("max", most); err != nil {
					return err
				}
			}
			if recent != "" {
				if args.Recent, err = timeWord("keep-recent", recent); err != nil {
					return err
				}
			}
			if c.Flags().Changed("generations") && args.Generations < 1 {
				return usage("gc: --generations %d: want 1 or more", args.Generations)
			}
			return a.collect(c, args)
		},
	}
	c.Flags().BoolVar(&args.DryRun, "dry-run", false, "print what would be removed, and remove nothing")
	c.Flags().StringVar(&most, "max", "", "remove the least recently used packages until `SIZE` is freed, and keep the others")
	c.Flags().StringVar(&recent, "keep-recent", "", "keep what was used within `TIME`; uses are recorded by day")
	c.Flags().IntVar(&args.Generations, "generations", 0, "remove all generations of each profile and of the services but the newest `N` first")
	a.jsonFlag(c)
	return c
}

// sizeWord reads a size on the command line.
func sizeWord(flag, word string) (int64, error) {
	v, err := nuon.Parse([]byte(word))
	if n, ok := v.(nuon.Filesize); ok && err == nil && n > 0 {
		return int64(n), nil
	}
	return 0, protocol.Errorf(protocol.Invalid, "--%s %.40q is no size", flag, word).WithHint("write it as 500MB or 10GiB")
}

// timeWord reads a length of time on the command line.
func timeWord(flag, word string) (time.Duration, error) {
	v, err := nuon.Parse([]byte(word))
	if n, ok := v.(nuon.Duration); ok && err == nil && n > 0 {
		return time.Duration(n), nil
	}
	return 0, protocol.Errorf(protocol.Invalid, "--%s %.40q is no length of time", flag, word).WithHint("write it as 12hr or 7day")
}

func (a *app) collect(c *cobra.Command, args protocol.CollectArgs) error {
	if args.Generations > 0 {
		var err error
		if args.Current, err = a.oldGenerations(c.Context(), args.Generations, args.DryRun); err != nil {
			return err
		}
		if !args.DryRun {
			if err := a.oldServices(c.Context(), args.Generations); err != nil {
				return err
			}
		}
	}
	progress := newProgress(a.terminal, false)
	var got protocol.Collection
	err := a.call(c, protocol.OpCollect, args, &got, &control.CallOptions{Event: progress.event})
	progress.close()
	if err != nil {
		return err
	}
	if a.json {
		return a.terminal.json(got)
	}
	if args.DryRun {
		for _, root := range got.Roots {
			fmt.Fprintf(a.out, "root %s\n", printable(root))
		}
		for _, p := range got.Gone {
			fmt.Fprintln(a.out, strings.TrimSpace(p.PID.String()+" "+printable(p.Name)))
		}
	}
	verb := "removed"
	if args.DryRun {
		verb = "would remove"
	}
	a.say("%s %d packages, %d files and %d records: %s", verb, got.Packages, got.Files, got.Records, size(got.Bytes))
	return nil
}

// oldGenerations removes all generations of each profile but the newest n and the one in use, unless it is a dry run. It returns the roots of
// those in use. The roots of the others go afterwards: so no generation that nuka history lists has lost its packages.
func (a *app) oldGenerations(ctx context.Context, n int, dryRun bool) (current []string, err error) {
	names, err := profile.Names(a.home.Profiles())
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		dir, err := a.profile(name)
		if err != nil {
			return nil, err
		}
		lock, err := dir.Lock(ctx, func() { a.say("waiting for another command that changes the profile %s", name) })
		if err != nil {
			return nil, err
		}
		number, err := dir.Number()
		if err == nil && !dryRun {
			_, err = lock.Keep(n)
		}
		if err := errors.Join(err, lock.Close()); err != nil {
			return nil, err
		}
		current = append(current, fmt.Sprintf("%s%s/%d", protocol.RootProfile, name, number))
	}
	return current, nil
}

func (a *app) whyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "why PKG [flags of the package]",
		Short: "show what keeps a package in the store",
		Long: `Why prints the roots, and the work that runs now, which keep a package or content from nuka gc, each with the shortest way to it:
each package refers to the next one.`,
		Example: "  nuka why zlib\n  nuka why 3lgdxcsu",
	}
	a.jsonFlag(c)
	return a.namedCommand(c, false, func(c *cobra.Command, t *thing, _ string) error {
		var w protocol.Why
		if err := a.call(c, protocol.OpWhy, protocol.PathArgs{ID: t.id}, &w, nil); err != nil {
			return err
		}
		if a.json {
			return a.terminal.json(w)
		}
		if len(w.Keepers) == 0 {
			a.say("nothing keeps it: nuka gc removes it")
		}
		for _, k := range w.Keepers {
			line := []string{"root " + k.Root}
			if k.Lease != "" {
				line = []string{"in use by " + k.Lease}
			}
			for _, p := range k.Path {
				line = append(line, strings.TrimSpace(p.Name+" "+p.PID.Short()))
			}
			fmt.Fprintln(a.out, printable(strings.Join(line, " → ")))
		}
		return nil
	})
}

func (a *app) sizeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "size PKG [flags of the package]",
		Short:   "show how much room a package takes, alone and with what it refers to",
		Example: "  nuka size lua\n  nuka size 3lgdxcsu --json",
	}
	a.jsonFlag(c)
	return a.namedCommand(c, false, func(c *cobra.Command, t *thing, _ string) error {
		var s protocol.Sizes
		if err := a.call(c, protocol.OpSize, protocol.PathArgs{ID: t.id}, &s, nil); err != nil {
			return err
		}
		if a.json {
			return a.terminal.json(s)
		}
		w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "size\t%s\n", size(s.Own))
		fmt.Fprintf(w, "exclusive\t%s\tin no other package\n", size(s.Exclusive))
		fmt.Fprintf(w, "shared\t%s\n", size(s.Own-s.Exclusive))
		fmt.Fprintf(w, "closure\t%s\tof %d packages\n", size(s.Closure), s.Packages)
		if s.Missing > 0 {
			fmt.Fprintf(w, "missing\t%d\tpackages that it refers to are not in the store\n", s.Missing)
		}
		return w.Flush()
	})
}
