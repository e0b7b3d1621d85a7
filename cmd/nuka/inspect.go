package main

import (
	"fmt"
	"path"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
)

// call connects to the node, makes one call and closes the connection.
func (a *app) call(c *cobra.Command, op protocol.Op, args, result any, o *control.CallOptions) error {
	client, err := a.connect(c.Context())
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Call(c.Context(), op, args, result, o)
}

func (a *app) lsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "ls PKG [PATH] [flags of the package]",
		Short:   "list the files of a package",
		Example: "  nuka ls lua\n  nuka ls lua bin",
	}
	a.jsonFlag(c)
	return a.namedCommand(c, true, func(c *cobra.Command, t *thing, path string) error {
		var entries []protocol.Entry
		if err := a.call(c, protocol.OpList, protocol.PathArgs{ID: t.id, Path: path}, &entries, nil); err != nil {
			return err
		}
		if a.json {
			return a.terminal.json(entries)
		}
		for _, e := range entries {
			mark := ""
			switch {
			case !a.decorates(): // a program needs the names without decoration
			case e.Kind == protocol.KindDir:
				mark = "/"
			case e.Kind == protocol.KindSymlink:
				mark = " -> " + e.Target
			case e.Exec:
				mark = "*"
			}
			fmt.Fprintf(a.out, "%10d  %s%s\n", e.Size, printable(e.Path), printable(mark))
		}
		return nil
	})
}

func (a *app) catCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "cat PKG [PATH] [flags of the package]",
		Short:   "print a file of a package",
		Example: "  nuka cat lua share/doc/readme",
	}
	return a.namedCommand(c, true, func(c *cobra.Command, t *thing, path string) error {
		args := protocol.PathArgs{ID: t.id, Path: path}
		err := a.call(c, protocol.OpRead, args, nil, &control.CallOptions{Reply: a.out})
		if e := protocol.AsError(err); err != nil && strings.HasSuffix(e.Message, " is a directory") {
			return a.noFile(c, args)
		}
		return err
	})
}

// noFile returns the error for a folder in place of a file. The error lists the files in the folder.
func (a *app) noFile(c *cobra.Command, args protocol.PathArgs) error {
	const most = 5
	what := strings.TrimSpace(args.ID + " " + args.Path)
	err := protocol.Errorf(protocol.Invalid, "%s is a folder", what)
	var entries []protocol.Entry
	if a.call(c, protocol.OpList, args, &entries, nil) != nil {
		return err.WithHint("its files: nuka ls %s", what)
	}
	var files []string
	for _, e := range entries {
		if e.Kind != protocol.KindDir {
			files = append(files, path.Join(args.Path, e.Path))
		}
	}
	switch more := len(files) - most; {
	case len(files) == 0:
		return err.WithHint("it has no files")
	case more > 0:
		return err.WithHint("its files are %s, and %d more: nuka ls %s", strings.Join(files[:most], ", "), more, what)
	}
	return err.WithHint("its files are %s", strings.Join(files, ", "))
}

func (a *app) logCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "log PKG [flags of the package]",
		Short: "print the log of a package's build",
	}
	return a.namedCommand(c, false, func(c *cobra.Command, t *thing, _ string) error {
		return a.call(c, protocol.OpLog, protocol.PathArgs{ID: t.id}, nil, &control.CallOptions{Reply: a.out})
	})
}

func (a *app) storeCommand() *cobra.Command {
	store := group(&cobra.Command{Use: "store", Short: "verify or count the store"})
	var repair bool
	verify := &cobra.Command{
		Use:   "verify",
		Short: "verify the hash of everything in the store",
		Long: "Verify reads everything in the store and moves damaged files to quarantine. With --repair it then receives, fetches\n" +
			"or builds the packages again that have damaged or missing files.\n" +
			"If a record of the index is wrong, the daemon rebuilds the index at its next start.",
		Args: exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			var v protocol.Verified
			progress := newProgress(a.terminal, false)
			o := &control.CallOptions{Event: func(e protocol.Event) {
				if e.Kind != protocol.EventNote { // problems are in the result, too
					progress.event(e)
				}
			}}
			err := a.call(c, protocol.OpVerify, protocol.VerifyArgs{Repair: repair, Offline: a.offline}, &v, o)
			progress.close()
			if err != nil {
				return err
			}
			if a.json {
				if err := a.terminal.json(v); err != nil {
					return err
				}
			} else {
				for _, p := range v.Problems {
					fmt.Fprintln(a.out, printable(p))
				}
				for _, p := range v.Repaired {
					a.say("repaired %s", printable(p))
				}
				for _, p := range v.Broken {
					a.say("not repaired: %s", printable(p))
				}
				a.say("verified %d files, %s: %d problems", v.Files, size(v.Bytes), len(v.Problems))
			}
			if len(v.Problems) > 0 && !repair || len(v.Broken) > 0 {
				return exitError(exitCodes[protocol.Damaged])
			}
			return nil
		},
	}
	stats := &cobra.Command{
		Use:   "stats",
		Short: "count packages and bytes in the store",
		Args:  exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			var s protocol.Stats
			if err := a.call(c, protocol.OpStats, nil, &s, nil); err != nil {
				return err
			}
			if a.json {
				return a.terminal.json(s)
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "files\t%d\t%s on disk\n", s.Files, size(s.FileBytes))
			fmt.Fprintf(w, "content\t%s\tas if nothing were shared\n", size(s.LogicalBytes))
			fmt.Fprintf(w, "blocks\t%d\t\n", s.Blocks)
			fmt.Fprintf(w, "pirs\t%d\t\n", s.PIRs)
			fmt.Fprintf(w, "bindings\t%d\tof a PID to a CID\n", s.Bindings)
			fmt.Fprintf(w, "attestations\t%d\t\n", s.Attestations)
			fmt.Fprintf(w, "damaged\t%d\tset aside\n", s.Damaged)
			return w.Flush()
		},
	}
	verify.Flags().BoolVar(&repair, "repair", false, "get packages again that have damaged or missing files")
	verify.Flags().BoolVar(&a.offline, "offline", false, "use no network to repair")
	a.jsonFlag(verify)
	a.jsonFlag(stats)
	store.AddCommand(verify, stats)
	return store
}
