package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/service"
)

func (a *app) servicesCommand() *cobra.Command {
	c := group(&cobra.Command{
		Use:   "services",
		Short: "run programs of packages as services",
		Long: `A package file can describe services: programs that keep running, each with its arguments, when it is ready, what follows its end, and what it
may do. PKG in the commands below is such a file (docs/services.md).

Nuka services apply brings a set into use under the service manager of the user or the machine, keeps each set as a generation, and goes back to the one before if a
service is not ready in time. Nuka services run keeps services running itself, in the foreground.`,
		Example: "  nuka services plan ./services.nu\n  nuka services apply ./services.nu\n  nuka services status\n  nuka services rollback",
	})
	c.AddCommand(a.servicesPlan(), a.servicesApply(), a.servicesStatus(), a.servicesLogs(), a.servicesStart(), a.servicesStop(), a.servicesRestart(), a.servicesRollback(),
		a.servicesHistory(), a.servicesRemove(), a.servicesRun(), a.servicesShow(), a.servicesCheck(), a.servicesExec(), a.servicesBecome())
	return c
}

// serviceSet makes the package of a set of services present, and reads the set. The caller closes the client, which keeps the package.
func (a *app) serviceSet(ctx context.Context, t *thing) (*control.Client, pir.PID, []*service.Service, error) {
	client, id, text, err := a.serviceText(ctx, t)
	if err != nil {
		return nil, id, nil, err
	}
	set, err := service.Decode(text)
	if err != nil {
		client.Close()
		return nil, id, nil, protocol.Errorf(protocol.Invalid, "%w", err)
	}
	return client, id, set, nil
}

// serviceText makes the package of a set of services present, and returns its file. The caller closes the client.
func (a *app) serviceText(ctx context.Context, t *thing) (*control.Client, pir.PID, []byte, error) {
	fail := func(err error) (*control.Client, pir.PID, []byte, error) { return nil, pir.PID{}, nil, err }
	if err := a.ownNode("services"); err != nil {
		return fail(err)
	}
	id, err := pir.ParsePID(t.id)
	if err != nil {
		return fail(protocol.Errorf(protocol.Invalid, "services: %.80q is no PID and no package file", t.id))
	}
	client, err := a.connect(ctx)
	if err != nil {
		return fail(err)
	}
	if t.result != nil {
		_, err = a.realize(ctx, client, t.result, &buildOptions{})
	}
	var text bytes.Buffer
	if err == nil {
		err = client.Call(ctx, protocol.OpRead, protocol.PathArgs{ID: id.String(), Path: service.File}, nil, &control.CallOptions{Reply: &text})
	}
	if protocol.CodeOf(err) == protocol.NotFound {
		err = protocol.Errorf(protocol.Invalid, "%s describes no services: it has no file %s", id.Short(), service.File).WithHint("a file with services: nuka services --help, docs/services.md")
	}
	if err != nil {
		client.Close()
		return fail(err)
	}
	return client, id, text.Bytes(), nil
}

// one returns the service of a name.
func one(set []*service.Service, name string) (*service.Service, error) {
	var names []string
	for _, s := range set {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return nil, protocol.Errorf(protocol.NotFound, "there is no service %.80q", name).WithHint("the set has %s", strings.Join(names, ", "))
}

func (a *app) servicesCheck() *cobra.Command {
	c := &cobra.Command{Use: "check PKG [flags of the package]", Short: "check the services of a package, and list them"}
	return a.namedCommand(c, false, func(c *cobra.Command, t *thing, _ string) error {
		client, _, set, err := a.serviceSet(c.Context(), t)
		if err != nil {
			return err
		}
		defer client.Close()
		order, err := service.Order(set)
		if err != nil {
			return err
		}
		for _, s := range order {
			fmt.Fprintf(a.out, "%s: %s of %s\n", s.Name, s.Command, strings.TrimSpace(s.Package.Name+" "+s.Package.Version))
		}
		return nil
	})
}

func (a *app) servicesShow() *cobra.Command {
	c := &cobra.Command{
		Use:   "show PKG NAME --as MANAGER [flags of the package]",
		Short: "print the unit of a service for a service manager",
		Long: `Show prints what a service manager needs to keep a service running. The unit starts nuka, and nuka the program: it names the set by its PID, so
it means the same set as long as you do not replace it. Keep the set with nuka root add. With --to, show writes the files below a folder.`,
		Example: "  nuka services show ./services.nu web --as systemd > ~/.config/systemd/user/nuka-web.service",
	}
	manager := c.Flags().String("as", "", "one of "+strings.Join(service.Managers(), ", "))
	to := c.Flags().String("to", "", "write the files below the folder `DIR`")
	system := c.Flags().Bool("system", false, "render for the manager of the machine, not of a user")
	state := c.Flags().String("state", "", "the unit keeps the state of the service below the folder `DIR`; with --system, without this flag: "+systemState())
	return a.namedCommand(c, true, func(c *cobra.Command, t *thing, name string) error {
		if *manager == "" || name == "" {
			return usage("services show: NAME or --as MANAGER is missing; the managers are %s", strings.Join(service.Managers(), ", "))
		}
		client, id, set, err := a.serviceSet(c.Context(), t)
		if err != nil {
			return err
		}
		defer client.Close()
		s, err := one(set, name)
		if err != nil {
			return err
		}
		self, err := os.Executable()
		if err != nil {
			return err
		}
		l := &service.Launcher{Argv: []string{self, "services", "run", id.String(), "--only", s.Name}, User: !*system}
		if *system && *state == "" {
			*state = systemState() // the manager of the machine gives services no home folder
		}
		if *state != "" {
			at, err := filepath.Abs(*state)
			if err != nil {
				return err
			}
			l.Argv = append(l.Argv, "--state", at)
		}
		if at := os.Getenv("NUKA_HOME"); at != "" {
			l.Env = []string{"NUKA_HOME=" + at}
		}
		units, err := service.Units(*manager, s, l)
		if err != nil {
			return usage("services show: %v", err)
		}
		return a.putUnits(units, *to)
	})
}

// putUnits prints units, or writes them below a folder. It replaces only files that are as nuka wrote them.
func (a *app) putUnits(units []service.Unit, to string) error {
	for i, u := range units {
		if to == "" {
			if len(units) > 1 {
				fmt.Fprintf(a.out, "%s==> %s\n", strings.Repeat("\n", min(i, 1)), u.Path)
			}
			fmt.Fprint(a.out, u.Text)
			continue
		}
		at := filepath.Join(to, filepath.FromSlash(u.Path))
		if old, err := os.ReadFile(at); err == nil && string(old) != u.Text && !service.Written(string(old)) && service.Written(u.Text) {
			return protocol.Errorf(protocol.Denied, "%s was changed by hand, or is not nuka's", at).WithHint("move it away, or compare: nuka services show …")
		}
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, []byte(u.Text), os.FileMode(u.Mode)); err != nil {
			return err
		}
		a.say("wrote %s", at)
	}
	return nil
}

// serviceFolders returns the folders of a service on this machine, and makes them. Base is the folder of all services.
func serviceFolders(base string, s *service.Service) (f service.Folders, here string, err error) {
	own := filepath.Join(base, s.Name)
	here = filepath.Join(own, "empty")
	dirs := []string{here}
	if s.State {
		f.State = filepath.Join(own, "state")
		dirs, here = append(dirs, f.State), f.State
	}
	for _, d := range []struct {
		wanted bool
		at     *string
		name   string
	}{{s.Cache, &f.Cache, "cache"}, {s.Logs, &f.Logs, "logs"}, {s.Runtime, &f.Runtime, "runtime"}, {len(s.Config) > 0, &f.Config, "config"}} {
		if d.wanted {
			*d.at = filepath.Join(own, d.name)
			dirs = append(dirs, *d.at)
		}
	}
	for _, dir := range []string{f.Runtime, f.Config} { // they are new at each start
		if dir != "" {
			if err := os.RemoveAll(dir); err != nil {
				return f, "", err
			}
		}
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return f, "", err
		}
	}
	return f, here, nil
}

// servicesBase returns the folder with the state of services.
func (a *app) servicesBase(flag string) (string, error) {
	if flag != "" {
		return filepath.Abs(flag)
	}
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		if a.user == "" {
			return "", protocol.Errorf(protocol.Invalid, "services: there is no home folder for their state").WithHint("name a folder: --state DIR")
		}
		state = filepath.Join(a.user, ".local", "state")
	}
	return filepath.Join(state, "nuka", "services"), nil
}

func selected(set []*service.Service, only []string) ([]*service.Service, error) {
	if len(only) == 0 {
		return set, nil
	}
	for _, name := range only {
		if _, err := one(set, name); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(set), func(s *service.Service) bool { return !slices.Contains(only, s.Name) }), nil
}
