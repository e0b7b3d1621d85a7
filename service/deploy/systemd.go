package deploy

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/MordragT/nuka/service"
)

// Systemd is systemd's manager of a user, or of the machine.
type Systemd struct {
	folder string
	system bool
}

// NewSystemd returns systemd's manager, which need not run. Config is the folder of the user's configuration; "" is the manager of the machine.
func NewSystemd(config string) *Systemd {
	if config == "" {
		return &Systemd{folder: "/etc/systemd/system", system: true}
	}
	return &Systemd{folder: filepath.Join(config, "systemd", "user")}
}

// Runs reports whether the manager answers.
func (m *Systemd) Runs(ctx context.Context) bool {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return m.call(ctx, "show", "--property=Version") == nil
}

// Available implements Manager.
func (m *Systemd) Available(ctx context.Context) error {
	if m.Runs(ctx) {
		return nil
	}
	if m.system {
		return absent("systemd does not run here")
	}
	return absent("systemd's manager of the user does not run here")
}

// Folder implements Manager.
func (m *Systemd) Folder() string { return m.folder }

// Units implements Manager.
func (m *Systemd) Units(s *service.Service, l *service.Launcher) ([]service.Unit, error) {
	return service.Units("systemd", s, l)
}

// Reload implements Manager.
func (m *Systemd) Reload(ctx context.Context, wanted []string) error {
	if err := m.call(ctx, "daemon-reload"); err != nil {
		return err
	}
	var units []string
	for _, name := range wanted {
		all, err := m.units(name)
		if err != nil {
			return err
		}
		for _, unit := range all { // others cannot be enabled: what starts them is
			if text, _ := os.ReadFile(filepath.Join(m.folder, unit)); strings.Contains(string(text), "\n[Install]\n") {
				units = append(units, unit)
			}
		}
	}
	if len(units) == 0 {
		return nil
	}
	return m.call(ctx, append([]string{"enable", "--quiet"}, units...)...)
}

// units returns the names of the units of a service on disk: the service, and its sockets and timer. The name of a service has no dot.
func (m *Systemd) units(name string) ([]string, error) {
	list, err := os.ReadDir(m.folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range list {
		if strings.HasPrefix(e.Name(), "nuka-"+name+".") && e.Type().IsRegular() {
			out = append(out, e.Name())
		}
	}
	return out, err
}

// Start implements Manager.
func (m *Systemd) Start(ctx context.Context, name string) error {
	return m.call(ctx, "start", "--no-block", m.starter(name))
}

// Restart implements Manager.
func (m *Systemd) Restart(ctx context.Context, name string) error {
	return m.call(ctx, "restart", "--no-block", m.starter(name))
}

// starter returns the unit that starts a service: for a job it is its timer.
func (m *Systemd) starter(name string) string {
	if timer := "nuka-" + name + ".timer"; exists(filepath.Join(m.folder, timer)) {
		return timer
	}
	return "nuka-" + name + ".service"
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Stop implements Manager.
func (m *Systemd) Stop(ctx context.Context, names []string) error {
	var known, lost []string
	for _, name := range names {
		units, err := m.units(name)
		if err != nil {
			return err
		}
		known = append(known, units...)
		if len(units) == 0 {
			lost = append(lost, "nuka-"+name+".service")
		}
	}
	if len(lost) > 0 { // somebody removed their units; they may run all the same
		if err := m.call(ctx, append([]string{"stop"}, lost...)...); err != nil && !exited(err, notLoaded) {
			return err
		}
	}
	if len(known) == 0 {
		return nil
	}
	if err := m.call(ctx, append([]string{"disable", "--now", "--quiet"}, known...)...); err != nil {
		return err
	}
	_ = m.call(ctx, append([]string{"reset-failed"}, known...)...) // the manager would list a unit that failed for ever; it knows no others
	return nil
}

// notLoaded is the exit code of systemctl for a unit that the manager does not have.
const notLoaded = 5

// call runs systemctl, and returns what it said as an error.
func (m *Systemd) call(ctx context.Context, words ...string) error {
	if m.system {
		return call(ctx, append([]string{"systemctl"}, words...)...)
	}
	return call(ctx, append([]string{"systemctl", "--user"}, words...)...)
}
