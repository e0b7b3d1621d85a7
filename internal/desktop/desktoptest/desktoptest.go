// Package desktoptest runs a session bus of its own, with a server of notes that shows nothing and remembers everything, for tests.
package desktoptest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"
)

const config = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir=/tmp</listen>
  <auth>EXTERNAL</auth>
  <servicedir>%s</servicedir>
  <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
`

// A Note is what a server of notes was asked to show.
type Note struct {
	Title, Body string
	Replaces    uint32
	Urgency     byte
}

// A Bus is a session bus.
type Bus struct {
	Address string
	// Started is a file that exists if the bus has started a server of notes by itself.
	Started string
	// Hang makes the server never answer. It must be set before Serve.
	Hang bool

	daemon *exec.Cmd
	conn   *dbus.Conn
	mu     sync.Mutex
	notes  []Note
}

// Start starts a bus without a server, whose files are in a folder. It fails where there is no dbus-daemon.
func Start(dir string) (*Bus, error) {
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		return nil, fmt.Errorf("dbus-daemon is missing: apt install dbus: %w", err)
	}
	b := &Bus{Started: filepath.Join(dir, "started")}
	service := fmt.Sprintf("[D-BUS Service]\nName=org.freedesktop.Notifications\nExec=/bin/sh -c 'echo > %s'\n", b.Started)
	if err := os.WriteFile(filepath.Join(dir, "notes.service"), []byte(service), 0o600); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, config, dir), 0o600); err != nil {
		return nil, err
	}
	b.daemon = exec.Command(program, "--config-file="+file, "--nofork", "--print-address=1")
	out, err := b.daemon.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.daemon.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("dbus-daemon: %w", err)
	}
	b.Address = strings.TrimSpace(line)
	return b, nil
}

// Serve starts the server of notes.
func (b *Bus) Serve() (err error) {
	if b.conn, err = dbus.Connect(b.Address); err != nil {
		return err
	}
	if err := b.conn.Export(server{b}, "/org/freedesktop/Notifications", "org.freedesktop.Notifications"); err != nil {
		return err
	}
	_, err = b.conn.RequestName("org.freedesktop.Notifications", dbus.NameFlagDoNotQueue)
	return err
}

type server struct{ b *Bus }

// Notify is the call of that name.
func (s server) Notify(_ string, replaces uint32, _, title, body string, _ []string, hints map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	if s.b.Hang {
		select {}
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	urgency, _ := hints["urgency"].Value().(byte)
	s.b.notes = append(s.b.notes, Note{title, body, replaces, urgency})
	if replaces != 0 {
		return replaces, nil
	}
	return uint32(len(s.b.notes)), nil //nolint:gosec // it is small
}

// Notes returns what was shown.
func (b *Bus) Notes() []Note {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.notes)
}

// Close ends the bus.
func (b *Bus) Close() {
	if b.conn != nil {
		b.conn.Close() //nolint:errcheck // it was only listened to
	}
	_ = b.daemon.Process.Kill()
	_ = b.daemon.Wait()
}
