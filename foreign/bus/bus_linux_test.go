package bus

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/MordragT/nuka/internal/skip"
)

const config = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=%s/bus</listen>
  <auth>EXTERNAL</auth>
  <servicedir>%s/services</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`

// folder returns a new folder with a short path: that of a socket has at most 107 bytes.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bus") //nolint:usetesting // t.TempDir has the name of the test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// daemon starts a session bus of its own for a test, and returns its address.
func daemon(t testing.TB) string {
	t.Helper()
	prog, err := exec.LookPath("dbus-daemon")
	if err != nil {
		skip.Wall(t, "dbus-daemon is missing: apt install dbus")
	}
	dir := folder(t)
	services := filepath.Join(dir, "services")
	if err := os.Mkdir(services, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"org.test.Started", "org.hidden.Started"} {
		service := fmt.Sprintf("[D-BUS Service]\nName=%s\nExec=/bin/false\n", name)
		if err := os.WriteFile(filepath.Join(services, name+".service"), []byte(service), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, config, dir, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), prog, "--config-file="+file, "--nofork", "--print-address=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var faults bytes.Buffer
	cmd.Stderr = &faults
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("dbus-daemon: %v: %s", err, &faults)
	}
	return strings.TrimSpace(line)
}

// A journal collects what the filter logs.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// proxy starts a filter for a bus, and returns its address and its log.
func proxy(t testing.TB, address string, p *Policy) (string, *journal) {
	t.Helper()
	path := filepath.Join(folder(t), "filter")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	log := &journal{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, l, address, p, slog.New(slog.NewTextHandler(log, nil)))
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the filter does not end")
		}
	})
	return "unix:path=" + path, log
}

// client connects to a bus, or to a filter before it.
func client(t testing.TB, address string) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// An echo is an object that answers Echo with its argument.
type echo struct{}

func (echo) Echo(s string) (string, *dbus.Error) { return s, nil }

func (echo) Size(fd dbus.UnixFD) (int64, *dbus.Error) {
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, dbus.MakeFailedError(err)
	}
	return info.Size(), nil
}

// peer connects to a bus, owns names, and answers Echo at /org/test.
func peer(t testing.TB, address string, names ...string) *dbus.Conn {
	t.Helper()
	conn := client(t, address)
	for _, path := range []dbus.ObjectPath{"/org/test", "/org/freedesktop/portal/desktop"} {
		for _, iface := range []string{"org.test.Echo", "org.freedesktop.portal.Test"} {
			if err := conn.Export(echo{}, path, iface); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range names {
		if r, err := conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil || r != dbus.RequestNameReplyPrimaryOwner {
			t.Fatalf("own %s: %v, %v", name, r, err)
		}
	}
	return conn
}

// policy is that of most tests.
func policy() *Policy {
	p := &Policy{Names: map[string]Access{"org.test.Talk": Talk, "org.test.See": See, "org.test.Started": Talk, "org.wide.*": Talk}}
	p.AddApplication("org.nuka.App")
	p.AddPortals()
	return p
}

func say(conn *dbus.Conn, name string) error {
	var got string
	err := conn.Object(name, "/org/test").Call("org.test.Echo.Echo", 0, "hello").Store(&got)
	if err == nil && got != "hello" {
		err = fmt.Errorf("got %q", got)
	}
	return err
}

// errorName returns the name of an error of the bus; "ok" for nil.
func errorName(err error) string {
	if err == nil {
		return "ok"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer"
	}
	if e, ok := err.(dbus.Error); ok { //nolint:errorlint // godbus returns it as it is
		return strings.TrimPrefix(e.Name, errPrefix)
	}
	return err.Error()
}

func TestRefusalsAreLogged(t *testing.T) {
	bus := daemon(t)
	peer(t, bus, "org.test.Hidden")
	filter, log := proxy(t, bus, policy())
	c := client(t, filter)
	for range 3 {
		if got := errorName(say(c, "org.test.Hidden")); got != "ServiceUnknown" {
			t.Fatal(got)
		}
	}
	const want = `msg="refused a D-Bus call" name=org.test.Hidden interface=org.test.Echo member=Echo permission=dbus=org.test.Hidden:talk`
	if got := strings.ReplaceAll(log.String(), `"dbus=org.test.Hidden:talk"`, "dbus=org.test.Hidden:talk"); strings.Count(got, want) != 1 {
		t.Errorf("got the log %s, want one line with %s", got, want)
	}
}
