package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/foreign"
	"github.com/MordragT/nuka/foreign/elfdeps"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/sandbox"
	"github.com/MordragT/nuka/source"
)

// A finding is one line of the doctor's report.
type finding struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
}

func (a *app) doctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "find problems of this installation",
		Args:  exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			findings := a.examine(c)
			bad := 0
			for _, f := range findings {
				if !f.OK {
					bad++
				}
			}
			if a.json {
				if err := a.terminal.json(findings); err != nil {
					return err
				}
			} else {
				for _, f := range findings {
					mark := map[bool]string{true: "ok", false: "!!"}[f.OK]
					fmt.Fprintf(a.out, "%s  %s: %s\n", mark, f.What, printable(f.Detail))
					if f.Hint != "" && !f.OK {
						fmt.Fprintf(a.out, "    %s\n", f.Hint)
					}
				}
			}
			if bad > 0 {
				return exitError(1)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&a.offline, "offline", false, "use no network: skip the registries")
	a.jsonFlag(c)
	return c
}

func (a *app) examine(c *cobra.Command) (findings []finding) {
	add := func(what string, err error, detail, hint string) {
		f := finding{What: what, OK: err == nil, Detail: detail, Hint: hint}
		if err != nil {
			f.Detail = err.Error()
		}
		findings = append(findings, f)
	}
	elsewhere := a.node != "" // findings about this machine do not apply to a node on another one
	if !elsewhere {
		add("home", writable(a.home.Data), a.home.Data, "set NUKA_HOME to a folder of yours")
		file := a.home.Config()
		_, err := config.Open(file)
		if _, missing := os.Stat(file); errors.Is(missing, fs.ErrNotExist) {
			file = "no file: all settings have their defaults"
		}
		add("settings", err, file, "docs/config.md lists all settings with examples")
		program, err := daemonProgram()
		add("daemon's program", err, program, "install nukad beside nuka")
		findings = append(findings, foreignFindings(c.Context())...)
	}
	client, err := a.connect(c.Context())
	if elsewhere {
		add("node of the ticket", err, "it answers", "ask the node's user whether it runs and whether the ticket is still valid")
	} else {
		add("daemon", err, "it answers", "its log: "+a.home.DaemonLog())
	}
	if err == nil {
		defer client.Close()
		var s protocol.Status
		err := client.Call(c.Context(), protocol.OpStatus, nil, &s, nil)
		if err == nil && s.Version != version {
			err = fmt.Errorf("the daemon is version %s, the command %s", s.Version, version)
		}
		add("version", err, version, "nuka daemon stop")
		for _, line := range s.Confinement {
			var missing error
			if slices.Contains(s.MissingWalls, line) && !s.Partial {
				missing = errors.New("missing: " + line)
			}
			add("sandbox", missing, "missing: "+line, "without it this node builds no packages that other users described; confine: partial in config.nuon allows them")
		}
		if err == nil && len(s.Confinement) == 0 {
			add("sandbox", nil, "Landlock, seccomp and all other walls are complete", "")
		}
		if elsewhere {
			return findings // a ticket permits builds, and does not show that node's store
		}
		if s.Mount.How != "" {
			var worse error
			if s.Mount.How == "off" {
				worse = errors.New(mountLine(&s.Mount))
			}
			add("packages", worse, mountLine(&s.Mount), "set mount: auto in config.nuon, or mount: checkout where the system has no FUSE")
		}
		var stats protocol.Stats
		err = client.Call(c.Context(), protocol.OpStats, nil, &stats, nil)
		if err == nil && stats.Damaged > 0 {
			err = fmt.Errorf("%d damaged files are in quarantine", stats.Damaged)
		}
		add("store", err, fmt.Sprintf("%d files, %s", stats.Files, size(stats.FileBytes)), "nuka store verify lists them; build the packages that need them again")
	}
	if elsewhere {
		return findings
	}
	if free, err := freeSpace(a.home.Data); err == nil {
		var low error
		if free < 2<<30 {
			low = fmt.Errorf("only %s are free", size(free))
		}
		add("disk", low, size(free)+" free", "builds of large packages need a few gigabytes")
	}
	_, result := a.eval(c.Context(), "hello", nil)
	add("evaluation", result, "hello evaluates", "")
	if a.offline {
		return findings
	}
	return append(findings, a.examineRegistries(c.Context())...)
}

// registryTimeout is how long the doctor waits for each registry.
const registryTimeout = 20 * time.Second

// examineRegistries checks all registries in the configuration of the user's package managers, concurrently.
func (a *app) examineRegistries(ctx context.Context) []finding {
	registries := slices.DeleteFunc(source.Kinds(), func(k source.Kind) bool { return k.Registry == "" })
	findings := make([]finding, len(registries))
	fetcher := source.New(&source.Options{Client: a.client(), Retries: -1})
	var asking sync.WaitGroup
	for i, r := range registries {
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, registryTimeout)
			defer cancel()
			f := finding{What: r.Registry, OK: true, Detail: "answers"}
			switch err := fetcher.Answers(ctx, source.OriginKind(r.Name)); {
			case errors.Is(err, source.ErrNoRegistry):
				f.Detail = "none is configured on this machine, so nuka cannot fetch from one"
			case ctx.Err() != nil:
				f.OK, f.Detail, f.Hint = false, fmt.Sprintf("no answer within %s", registryTimeout), "check the network and the registry setting"
			case err != nil:
				f.OK, f.Detail = false, err.Error()
				if e := protocol.AsError(err); e != nil {
					f.Hint = e.Hint
				}
			}
			findings[i] = f
		})
	}
	asking.Wait()
	return findings
}

func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".doctor-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// foreignFindings tells what this machine offers to foreign programs: the walls of their sandbox, and the driver of a graphics card.
func foreignFindings(ctx context.Context) (out []finding) {
	launcher, err := sandbox.FindLauncher()
	if err != nil {
		return []finding{{What: "launcher of foreign programs", Detail: err.Error(), Hint: "install " + sandbox.LauncherName + " beside nuka"}}
	}
	for _, f := range sandbox.Check(ctx, launcher) {
		one := finding{What: f.What, OK: f.OK, Detail: f.Detail}
		if !f.OK {
			one.Hint = f.Hint
		}
		out = append(out, one)
	}
	if g := foreign.FindGraphics(elfdeps.Tree{"/": "/"}); len(g.Libraries) > 0 {
		out = append(out, finding{What: "graphics driver", OK: true, Detail: fmt.Sprintf("%s, %s of this machine, for programs with the permission device=dri", g.Says(), counted(len(g.Libraries), "file"))})
	}
	return out
}
