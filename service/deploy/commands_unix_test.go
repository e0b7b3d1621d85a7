//go:build unix

package deploy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
)

// A commandStub stands for a command of a manager that does not run on this machine. It notes how it was called, and answers as a script says.
type commandStub struct {
	t   *testing.T
	dir string
}

// stub puts a command first in PATH. Its script finds its arguments in $1 and so on, and a folder for what it remembers in $S.
func stub(t *testing.T, name, script string) *commandStub {
	t.Helper()
	s := &commandStub{t, t.TempDir()}
	text := fmt.Sprintf("#!/bin/sh\nS='%s'\necho \"$@\" >>\"$S/calls\"\n%s\n", s.dir, script)
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", s.dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return s
}

// calls returns how the command was called since the last time.
func (s *commandStub) calls() string {
	s.t.Helper()
	at := filepath.Join(s.dir, "calls")
	text, err := os.ReadFile(at)
	if err != nil {
		return ""
	}
	if err := os.Remove(at); err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// launchctl as launchctl(1) of macOS 14 behaves: a service that is not loaded is 113, and just after its end a bootstrap fails with 5.
const launchctl = `
case $1 in
print) [ -e "$S/loaded" ] && { [ ! -e "$S/ending" ] || rm "$S/loaded" "$S/ending"; } || exit 113 ;;
bootout) [ -e "$S/loaded" ] || exit 113; touch "$S/ending" "$S/busy" ;;
bootstrap) [ ! -e "$S/busy" ] || { rm "$S/busy"; exit 5; }; [ ! -e "$S/loaded" ] || exit 37; touch "$S/loaded" ;;
*) exit 64 ;;
esac`

// TestLaunchd has launchd load, restart and unload a service, as far as commands tell: there is no launchd here.
func TestLaunchd(t *testing.T) {
	s := stub(t, "launchctl", launchctl)
	home := t.TempDir()
	m := NewLaunchd(home)
	m.pause = time.Millisecond
	ctx := t.Context()
	domain := fmt.Sprintf("user/%d", os.Getuid())
	unit := filepath.Join(home, "Library", "LaunchAgents", "nuka-web.plist")
	for _, step := range []struct {
		what string
		do   func(context.Context) error
		want string
	}{
		{"available", m.Available, ""},
		{"reload", func(ctx context.Context) error { return m.Reload(ctx, []string{"web"}) }, ""},
		{"first start", func(ctx context.Context) error { return m.Restart(ctx, "web") }, "bootout " + domain + "/nuka-web\nbootstrap " + domain + " " + unit + "\n"},
		{"start", func(ctx context.Context) error { return m.Start(ctx, "web") }, "print " + domain + "/nuka-web\n"},
		{"restart", func(ctx context.Context) error { return m.Restart(ctx, "web") },
			"bootout D/nuka-web\nprint D/nuka-web\nprint D/nuka-web\nbootstrap D P\nbootstrap D P\n"},
		{"stop", func(ctx context.Context) error { return m.Stop(ctx, []string{"web"}) }, "bootout D/nuka-web\nprint D/nuka-web\nprint D/nuka-web\n"},
		{"stop again", func(ctx context.Context) error { return m.Stop(ctx, []string{"web"}) }, "bootout D/nuka-web\n"},
		{"start", func(ctx context.Context) error { return m.Start(ctx, "web") }, "print D/nuka-web\nbootstrap D P\nbootstrap D P\n"},
	} {
		if err := step.do(ctx); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		want := strings.ReplaceAll(strings.ReplaceAll(step.want, "D/", domain+"/"), "D P", domain+" "+unit)
		if diff := cmp.Diff(want, s.calls()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", step.what, diff)
		}
	}
	if m := NewLaunchd(""); m.domain != "system" || m.Folder() != "/Library/LaunchDaemons" {
		t.Errorf("got %+v", m)
	}
	stub(t, "launchctl", "echo no; exit 1")
	if err := m.Restart(ctx, "web"); err == nil || !strings.Contains(err.Error(), "launchctl bootout") {
		t.Errorf("got %v", err)
	}
}

// TestRCD has rc.d of FreeBSD start, restart and stop a service, as far as commands tell.
func TestRCD(t *testing.T) {
	s := stub(t, "service", `
case $2 in
status) [ -e "$S/runs" ] || exit 1 ;;
start|restart) touch "$S/runs" ;;
stop) rm "$S/runs" ;;
esac`)
	m := &RCD{t.TempDir()}
	if err := os.WriteFile(filepath.Join(m.folder, "nuka_a_b"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return m.Start(t.Context(), "a-b") }, "nuka_a_b status\nnuka_a_b start\n"},
		{func() error { return m.Start(t.Context(), "a-b") }, "nuka_a_b status\n"},
		{func() error { return m.Restart(t.Context(), "a-b") }, "nuka_a_b restart\n"},
		{func() error { return m.Stop(t.Context(), []string{"a-b", "gone"}) }, "nuka_a_b status\nnuka_a_b stop\n"},
		{func() error { return m.Stop(t.Context(), []string{"a-b"}) }, "nuka_a_b status\n"},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got := s.calls(); got != step.want {
			t.Errorf("got %q, want %q", got, step.want)
		}
	}
}

// TestAbsent asks managers that do not run here: the error says so before anything is stopped.
func TestAbsent(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("SVDIR", "")
	d := Open(t.TempDir())
	for name, m := range map[string]Manager{
		"launchd": NewLaunchd("/h"), "rc.d": NewRCD(), "openrc": NewOpenRC(), "nuka": NewOwn(d), "systemd": NewSystemd("/h"),
		"runit": NewScanned("runit", t.TempDir()), "runit nowhere": NewScanned("runit", "/nowhere"), "s6": NewScanned("s6", t.TempDir()),
	} {
		if err := m.Available(t.Context()); protocol.CodeOf(err) != protocol.Unavailable {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := NewScanned("s6", ScanFolder("s6", true)).Available(t.Context()); protocol.CodeOf(err) != protocol.Invalid || !strings.Contains(err.Error(), "none is named") {
		t.Errorf("got %v", err)
	}
}

// TestScannedForeign finds something else in the place of a link: it stays, and the change is refused.
func TestScannedForeign(t *testing.T) {
	m := NewScanned("runit", t.TempDir())
	if err := os.Symlink("/elsewhere", m.link("web")); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{m.Reload(t.Context(), []string{"web"}), m.Stop(t.Context(), []string{"web"})} {
		if protocol.CodeOf(err) != protocol.Denied {
			t.Errorf("got %v", err)
		}
	}
	if at, err := os.Readlink(m.link("web")); err != nil || at != "/elsewhere" {
		t.Errorf("got %q, %v", at, err)
	}
}

// TestScannedHalfway has a process of runit that reads its commands already, and does not say yet that it is there: sv would not find it.
func TestScannedHalfway(t *testing.T) {
	dir := t.TempDir()
	runit, s6 := NewScanned("runit", dir), NewScanned("s6", dir)
	for _, step := range []struct {
		fifo      string
		runit, s6 bool
	}{{"control", false, true}, {"ok", true, true}} {
		at := filepath.Join(runit.dir("web"), "supervise", step.fifo)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(at, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(at, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if runit.supervised("web") != step.runit || s6.supervised("web") != step.s6 {
			t.Errorf("%s: runit %t, s6 %t", step.fifo, runit.supervised("web"), s6.supervised("web"))
		}
	}
}
