package deploy

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/MordragT/nuka/service"
)

// RCD is rc(8) of FreeBSD, as the manager of the machine. It starts at boot what is in its folder: a script of nuka's is enabled unless rc.conf says otherwise.
type RCD struct{ folder string }

// NewRCD returns rc.d, which need not run.
func NewRCD() *RCD { return &RCD{"/usr/local/etc/rc.d"} }

// Available implements Manager.
func (m *RCD) Available(context.Context) error {
	if !exists("/etc/rc.subr") {
		return absent("rc.d does not run here")
	}
	return needs("rc.d", "service")
}

// Folder implements Manager.
func (m *RCD) Folder() string { return m.folder }

// Units implements Manager.
func (m *RCD) Units(s *service.Service, l *service.Launcher) ([]service.Unit, error) {
	return service.Units("rc.d", s, l)
}

// Reload implements Manager. A script is read each time that it runs.
func (m *RCD) Reload(context.Context, []string) error { return nil }

func script(name string) string { return strings.ReplaceAll("nuka-"+name, "-", "_") }

// Start implements Manager.
func (m *RCD) Start(ctx context.Context, name string) error {
	if call(ctx, "service", script(name), "status") == nil {
		return nil
	}
	return call(ctx, "service", script(name), "start")
}

// Restart implements Manager.
func (m *RCD) Restart(ctx context.Context, name string) error {
	return call(ctx, "service", script(name), "restart")
}

// Stop implements Manager.
func (m *RCD) Stop(ctx context.Context, names []string) error {
	for _, name := range names {
		if !exists(filepath.Join(m.folder, script(name))) || call(ctx, "service", script(name), "status") != nil {
			continue // the script is gone, or it does not run
		}
		if err := call(ctx, "service", script(name), "stop"); err != nil {
			return err
		}
	}
	return nil
}
