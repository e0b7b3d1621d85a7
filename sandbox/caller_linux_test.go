package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/internal/seccomp"
	"github.com/MordragT/nuka/sandbox"
)

// caller is this program as a caller of package sandbox in a process of its own: it runs the arguments in the tree of the machine,
// and ends as the program did. Modes are words: "new" for a session of its own, "fallback", "outlive", "probe" for the tree with the probe, "none" forbids user name spaces.
func caller(mode string, argv []string) int {
	spec := system()
	opt := &sandbox.Options{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	for _, word := range strings.Fields(mode) {
		switch word {
		case "flatpak":
			fmt.Fprintln(os.Stderr, becomeFlatpakCaller(argv))
			return 1
		case "new":
			spec.Session = sandbox.SessionNew
		case "fallback":
			spec.Fallback = true
			spec.Mounts = append(hostRO("/usr", filepath.Join(bin, "probe")), sandbox.Mount{Kind: sandbox.Tmpfs, Target: "/tmp"}, sandbox.Mount{Kind: sandbox.Dev, Target: "/dev"})
		case "nolandlock": // as on a kernel without it
			f := &seccomp.Filter{Rules: []seccomp.Rule{{Call: unix.SYS_LANDLOCK_CREATE_RULESET, Action: seccomp.Errno(unix.EOPNOTSUPP)}}, Otherwise: seccomp.Allow, X32: seccomp.Allow}
			if err := f.Load(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			opt.Started = func(p *sandbox.Process) { fmt.Fprintln(os.Stderr, "missing:", p.Missing()) }
		case "nomount": // as where AppArmor allows user name spaces and nothing in them
			f := &seccomp.Filter{Rules: []seccomp.Rule{{Call: unix.SYS_MOUNT, Action: seccomp.Errno(unix.EPERM)}}, Otherwise: seccomp.Allow, X32: seccomp.Allow}
			if err := f.Load(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		case "outlive":
			spec.Outlive = true
		case "probe":
			spec.Mounts = append(spec.Mounts, sandbox.Mount{Kind: sandbox.RO, Source: bin, Target: "/opt"})
			spec.Env = []string{"PATH=/opt:/usr/bin"}
		}
	}
	spec.Argv = argv
	if name, text, ok := strings.Cut(os.Getenv("NUKA_SANDBOX_FIRST"), "="); ok { // a setting of this user name space
		if err := os.WriteFile(name, []byte(text), 0); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	st, err := sandbox.Run(context.Background(), launcher(), spec, opt)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%T: %v\n", err, err)
		var forbidden *sandbox.ForbiddenError
		if errors.As(err, &forbidden) {
			fmt.Fprintf(os.Stderr, "hint: %s\n", forbidden.Hint())
		}
		return 125
	}
	return st.Code
}

// callerCommand returns the command that runs caller.
func callerCommand(t testing.TB, mode string, argv ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe, argv...)
	c.Env = append(os.Environ(), "NUKA_SANDBOX_BIN="+bin, "NUKA_SANDBOX_CALLER=caller "+mode)
	return c
}

// terminal returns the two ends of a new pseudo-terminal.
func terminal(t testing.TB) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := raw.Control(func(fd uintptr) {
		err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		if err == nil {
			n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// onTerminal makes a command the leader of a session with a terminal.
func onTerminal(c *exec.Cmd, slave *os.File) {
	c.Stdin, c.Stdout, c.Stderr = slave, slave, slave
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
}
