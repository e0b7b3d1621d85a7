package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/service"
)

// Scanned is a manager that scans a folder of services: runit or s6. nuka's services are in a folder that it passes over, and those that shall run have a link beside it.
type Scanned struct{ kind, scan string }

const (
	// scanTime is how long a manager may take to see a new link: runsvdir looks every five seconds.
	scanTime = 15 * time.Second
	// patience is how long a service may take to stop. Its launcher ends it before, as the service's own limit says.
	patience = time.Hour
)

// NewScanned returns runit or s6, which need not run. Scan is the folder that runsvdir or s6-svscan looks at.
func NewScanned(kind, scan string) *Scanned { return &Scanned{kind, scan} }

// ScanFolder returns the folder that a manager looks at if the user names none, and "" if there is no such folder.
func ScanFolder(kind string, system bool) string {
	if kind != "runit" {
		return "" // each distribution with s6 has one of its own
	}
	if at := os.Getenv("SVDIR"); at != "" { // sv(8)
		return at
	}
	for _, at := range []string{"/etc/service", "/var/service", "/service"} {
		if info, err := os.Stat(at); system && err == nil && info.IsDir() {
			return at
		}
	}
	return ""
}

// Available implements Manager.
func (m *Scanned) Available(context.Context) error {
	if m.scan == "" {
		return protocol.Errorf(protocol.Invalid, "services: %s looks at a folder of links, and none is named", m.kind).WithHint("name the folder that %s looks at: --scan DIR", m.scanner())
	}
	if info, err := os.Stat(m.scan); err != nil || !info.IsDir() {
		return absent("%s does not look at %s: there is no such folder", m.scanner(), m.scan)
	}
	if m.kind == "runit" {
		return needs(m.kind, "sv")
	}
	if !listened(filepath.Join(m.scan, ".s6-svscan", "control")) {
		return absent("s6-svscan does not look at %s", m.scan)
	}
	return needs(m.kind, "s6-svc", "s6-svscanctl")
}

func (m *Scanned) scanner() string {
	if m.kind == "runit" {
		return "runsvdir"
	}
	return "s6-svscan"
}

// Folder implements Manager. It is where the links are: runsvdir looks only once for what a link names, and other folders may be mounted later.
func (m *Scanned) Folder() string { return filepath.Join(m.scan, own) }

// Units implements Manager.
func (m *Scanned) Units(s *service.Service, l *service.Launcher) ([]service.Unit, error) {
	return service.Units(m.kind, s, l)
}

func (m *Scanned) dir(name string) string  { return filepath.Join(m.Folder(), "nuka-"+name) }
func target(name string) string            { return filepath.Join(own, "nuka-"+name) }
func (m *Scanned) link(name string) string { return filepath.Join(m.scan, "nuka-"+name) }
func (m *Scanned) down(name string) string { return filepath.Join(m.dir(name), "down") }

// supervised reports whether a process of the manager watches the service, and its commands find it. They look for ok with runit, which runsv makes after control, and
// for control with s6.
func (m *Scanned) supervised(name string) bool {
	fifo := "control"
	if m.kind == "runit" {
		fifo = "ok"
	}
	return listened(filepath.Join(m.dir(name), "supervise", fifo))
}

// listened reports whether a process reads from a FIFO. Opening it to write, without waiting, fails if nobody does.
func listened(fifo string) bool {
	f, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// Reload implements Manager. A manager starts what it finds, unless it finds the file down as well: that is there until the manager has seen the service.
func (m *Scanned) Reload(ctx context.Context, wanted []string) error {
	fresh := false
	for _, name := range wanted {
		linked, err := m.linked(name)
		if err != nil {
			return err
		}
		if linked && m.supervised(name) {
			continue
		}
		fresh = true
		if err := os.WriteFile(m.down(name), nil, 0o644); err != nil {
			return err
		}
		if linked {
			continue
		}
		temp := filepath.Join(m.scan, ".nuka-"+name)
		if err := errors.Join(gone(os.Remove(temp)), os.Symlink(target(name), temp), atomicfile.Rename(temp, m.link(name))); err != nil {
			return err
		}
	}
	if fresh && m.kind == "s6" {
		if err := call(ctx, "s6-svscanctl", "-a", m.scan); err != nil {
			return err
		}
	}
	for _, name := range wanted {
		if !poll(ctx, scanTime, func() bool { return m.supervised(name) }) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return absent("%s does not take the service %s: it does not run, or does not look at %s", m.scanner(), name, m.scan)
		}
		if err := gone(os.Remove(m.down(name))); err != nil {
			return err
		}
	}
	return nil
}

// linked reports whether the manager's folder has the link of a service. Something else of that name is an error.
func (m *Scanned) linked(name string) (bool, error) {
	at, err := os.Readlink(m.link(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil || at != target(name):
		return false, protocol.Errorf(protocol.Denied, "%s is not nuka's", m.link(name)).WithHint("move it away")
	}
	return true, nil
}

// Start implements Manager.
func (m *Scanned) Start(ctx context.Context, name string) error {
	if m.kind == "runit" {
		return call(ctx, "sv", "up", m.dir(name))
	}
	return call(ctx, "s6-svc", "-u", m.dir(name))
}

// Restart implements Manager. A service that is up, and ends, is started again.
func (m *Scanned) Restart(ctx context.Context, name string) error {
	if m.kind == "runit" {
		return errors.Join(call(ctx, "sv", "term", m.dir(name)), call(ctx, "sv", "up", m.dir(name)))
	}
	return errors.Join(call(ctx, "s6-svc", "-r", m.dir(name)), call(ctx, "s6-svc", "-u", m.dir(name)))
}

// Stop implements Manager. The process that watches a service ends as well, and its files go.
func (m *Scanned) Stop(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := m.stop(ctx, name); err != nil {
			return fmt.Errorf("stop %s: %w", name, err)
		}
	}
	return nil
}

func (m *Scanned) stop(ctx context.Context, name string) error {
	watched := m.supervised(name)
	if watched {
		words := []string{"sv", "-w", strconv.Itoa(int(patience.Seconds())), "down", m.dir(name)}
		if m.kind == "s6" {
			words = []string{"s6-svc", "-wD", "-T", strconv.Itoa(int(patience.Milliseconds())), "-d", m.dir(name)}
		}
		if err := call(ctx, words...); err != nil {
			return err
		}
	}
	linked, err := m.linked(name)
	if linked {
		err = gone(os.Remove(m.link(name)))
	}
	if err == nil && linked && m.kind == "s6" && listened(filepath.Join(m.scan, ".s6-svscan", "control")) {
		err = call(ctx, "s6-svscanctl", "-a", m.scan)
	}
	if err == nil && watched {
		if m.kind == "runit" {
			err = call(ctx, "sv", "exit", m.dir(name))
		} else {
			err = call(ctx, "s6-svc", "-x", m.dir(name))
		}
	}
	if err != nil {
		return err
	}
	if !poll(ctx, scanTime, func() bool { return !m.supervised(name) }) {
		return errors.Join(ctx.Err(), fmt.Errorf("%s still watches %s", m.kind, m.dir(name)))
	}
	for _, left := range []string{"supervise", "event", "down"} {
		if err := os.RemoveAll(filepath.Join(m.dir(name), left)); err != nil {
			return err
		}
	}
	return nil
}
