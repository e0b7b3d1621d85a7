package deploy

import (
	"context"
	"os"
	"path/filepath"

	"github.com/MordragT/nuka/service"
)

// OpenRC is OpenRC as the manager of the machine.
type OpenRC struct{ folder, runlevels string }

// runlevel is the runlevel that starts services at boot.
const runlevel = "default"

// NewOpenRC returns OpenRC, which need not run.
func NewOpenRC() *OpenRC { return &OpenRC{"/etc/init.d", "/etc/runlevels"} }

// Available implements Manager.
func (m *OpenRC) Available(context.Context) error {
	if !exists("/run/openrc/softlevel") {
		return absent("OpenRC does not run here")
	}
	return needs("OpenRC", "rc-service", "rc-update")
}

// Folder implements Manager.
func (m *OpenRC) Folder() string { return m.folder }

// Units implements Manager.
func (m *OpenRC) Units(s *service.Service, l *service.Launcher) ([]service.Unit, error) {
	return service.Units("openrc", s, l)
}

// Reload implements Manager. OpenRC reads a script each time that it runs it.
func (m *OpenRC) Reload(ctx context.Context, wanted []string) error {
	for _, name := range wanted {
		if exists(filepath.Join(m.runlevels, runlevel, "nuka-"+name)) {
			continue
		}
		if err := call(ctx, "rc-update", "add", "nuka-"+name, runlevel); err != nil {
			return err
		}
	}
	return nil
}

// Start implements Manager.
func (m *OpenRC) Start(ctx context.Context, name string) error {
	return call(ctx, "rc-service", "nuka-"+name, "start")
}

// Restart implements Manager.
func (m *OpenRC) Restart(ctx context.Context, name string) error {
	return call(ctx, "rc-service", "nuka-"+name, "restart")
}

// Stop implements Manager.
func (m *OpenRC) Stop(ctx context.Context, names []string) error {
	for _, name := range names {
		if !exists(filepath.Join(m.folder, "nuka-"+name)) {
			// Somebody removed the script. OpenRC runs nothing without one, but its supervisor may still run.
			if err := call(ctx, "supervise-daemon", "nuka-"+name, "--stop", "--pidfile", "/run/nuka-"+name+".pid"); err != nil && exists("/run/nuka-"+name+".pid") {
				return err
			}
		} else if err := call(ctx, "rc-service", "nuka-"+name, "stop"); err != nil {
			return err
		}
		if err := gone(os.Remove(filepath.Join(m.runlevels, runlevel, "nuka-"+name))); err != nil {
			return err
		}
	}
	return nil
}
