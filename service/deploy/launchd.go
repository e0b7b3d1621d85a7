package deploy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/MordragT/nuka/service"
)

// Launchd is launchd of macOS, for the user or the machine.
type Launchd struct {
	folder, domain string
	pause          time.Duration // between two tries
}

// NewLaunchd returns launchd, which need not run. Home is the user's home folder; "" is launchd of the machine.
func NewLaunchd(home string) *Launchd {
	if home == "" {
		return &Launchd{"/Library/LaunchDaemons", "system", time.Second}
	}
	// The domain gui exists only while the user is logged in at the screen, and user always.
	return &Launchd{filepath.Join(home, "Library", "LaunchAgents"), fmt.Sprintf("user/%d", os.Getuid()), time.Second}
}

// Exit codes of launchctl: the service is not loaded, in two versions, and the domain is still busy with the end of the service.
const (
	launchctlGone1 = 3
	launchctlGone2 = 113
	launchctlBusy1 = 5
	launchctlBusy2 = 37
	launchctlTries = 10
)

// Available implements Manager.
func (m *Launchd) Available(context.Context) error { return needs("launchd", "launchctl") }

// Folder implements Manager.
func (m *Launchd) Folder() string { return m.folder }

// Units implements Manager.
func (m *Launchd) Units(s *service.Service, l *service.Launcher) ([]service.Unit, error) {
	return service.Units("launchd", s, l)
}

func (m *Launchd) target(name string) string { return m.domain + "/nuka-" + name }

// Reload implements Manager. At boot launchd loads all that is in the folder, and now it knows a property list as it was when it was loaded.
func (m *Launchd) Reload(context.Context, []string) error { return nil }

// Start implements Manager.
func (m *Launchd) Start(ctx context.Context, name string) error {
	err := call(ctx, "launchctl", "print", m.target(name))
	if err == nil {
		return nil // it is loaded, and RunAtLoad has started it
	}
	if !exited(err, launchctlGone1, launchctlGone2) {
		return err
	}
	return m.load(ctx, name)
}

// load loads a property list. Just after an unload launchd may be busy.
func (m *Launchd) load(ctx context.Context, name string) error {
	for try := 1; ; try++ {
		err := call(ctx, "launchctl", "bootstrap", m.domain, filepath.Join(m.folder, "nuka-"+name+".plist"))
		if err == nil || try == launchctlTries || !exited(err, launchctlBusy1, launchctlBusy2) {
			return err
		}
		select {
		case <-time.After(m.pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Restart implements Manager: launchd reads a property list only when it loads it.
func (m *Launchd) Restart(ctx context.Context, name string) error {
	if err := m.unload(ctx, name); err != nil {
		return err
	}
	return m.load(ctx, name)
}

// unload stops a service, and waits until launchd does not know it any more.
func (m *Launchd) unload(ctx context.Context, name string) error {
	err := call(ctx, "launchctl", "bootout", m.target(name))
	if exited(err, launchctlGone1, launchctlGone2) {
		return nil
	}
	if err != nil && !exited(err, launchctlBusy1, launchctlBusy2) {
		return err
	}
	if !poll(ctx, patience, func() bool {
		return exited(call(ctx, "launchctl", "print", m.target(name)), launchctlGone1, launchctlGone2)
	}) {
		return fmt.Errorf("launchctl bootout %s: it does not end (%w)", m.target(name), context.Cause(ctx))
	}
	return nil
}

// Stop implements Manager. The property lists go, so that launchd does not load them at boot.
func (m *Launchd) Stop(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := m.unload(ctx, name); err != nil {
			return err
		}
	}
	return nil
}
