package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/MordragT/nuka/service"
	"github.com/MordragT/nuka/service/deploy"
)

const (
	ownManager = "nuka"
	systemd    = "systemd"
)

// serviceManagers returns the names of the service managers that apply can use.
func serviceManagers() []string {
	all := slices.DeleteFunc(service.Managers(), func(name string) bool { return name == service.Windows })
	return append(all, ownManager)
}

// openManager returns the service manager of a generation.
func (a *app) openManager(dir *deploy.Dir, g *deploy.Generation) (deploy.Manager, error) {
	if !g.System && (g.Manager == "openrc" || g.Manager == "rc.d") {
		return nil, usage("services: %s is a manager of the machine: want --system", g.Manager)
	}
	switch g.Manager {
	case ownManager:
		return deploy.NewOwn(dir), nil
	case systemd:
		return deploy.NewSystemd(a.systemdConfig(g.System)), nil
	case "openrc":
		return deploy.NewOpenRC(), nil
	case "runit", "s6":
		return deploy.NewScanned(g.Manager, g.Scan), nil
	case "launchd":
		if g.System {
			return deploy.NewLaunchd(""), nil
		}
		return deploy.NewLaunchd(a.user), nil
	case "rc.d":
		return deploy.NewRCD(), nil
	}
	return nil, usage("services: %.40q is no service manager that apply can use; they are %s", g.Manager, strings.Join(serviceManagers(), ", "))
}

// systemdConfig returns the folder of the user's configuration, and "" for the machine.
func (a *app) systemdConfig(system bool) string {
	if system {
		return ""
	}
	if at := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(at) {
		return at
	}
	return filepath.Join(a.user, ".config")
}

// pickManager returns a generation that has nothing but the service manager to use: the one that the user names, or that the services have already, or that of this
// machine, or nuka's own.
func (a *app) pickManager(ctx context.Context, o *applyOptions, current *deploy.Generation) (*deploy.Generation, error) {
	g := &deploy.Generation{System: o.system, Manager: o.as}
	if o.as == "" && current != nil {
		g.Manager, g.System = current.Manager, o.system || current.System
	} else if o.as == "" {
		g.Manager = a.foundManager(ctx, o.system)
	}
	scanned := g.Manager == "runit" || g.Manager == "s6"
	switch {
	case o.scan != "" && !scanned:
		return nil, usage("services: --scan is for runit and s6, and not for %.40q", g.Manager)
	case o.scan != "":
		at, err := filepath.Abs(o.scan)
		if err != nil {
			return nil, err
		}
		g.Scan = at
	case scanned && current != nil && current.Manager == g.Manager:
		g.Scan = current.Scan
	case scanned:
		g.Scan = deploy.ScanFolder(g.Manager, o.system)
	}
	return g, nil
}

// foundManager returns the service manager that runs on this machine, and nuka's own without one. runit and s6 are used when the user names them: they may run beside
// another manager.
func (a *app) foundManager(ctx context.Context, system bool) string {
	if deploy.NewSystemd(a.systemdConfig(system)).Runs(ctx) {
		return systemd
	}
	switch {
	case runtime.GOOS == "darwin":
		return "launchd"
	case system && deploy.NewOpenRC().Available(ctx) == nil:
		return "openrc"
	case system && runtime.GOOS == "freebsd":
		return "rc.d"
	}
	return ownManager
}

// needManager returns an error if the service manager of a generation does not run, before anything is stopped.
func (a *app) needManager(ctx context.Context, dir *deploy.Dir, g *deploy.Generation) error {
	m, err := a.openManager(dir, g)
	if err != nil {
		return err
	}
	return m.Available(ctx)
}
