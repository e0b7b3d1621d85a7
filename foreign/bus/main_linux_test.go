package bus

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain is the program of the filter, or a program in a sandbox, if a test starts it so.
func TestMain(m *testing.M) {
	if os.Getenv("BUS_ROOT") != "" {
		if err := enterRoot(); err != nil {
			fmt.Fprintln(os.Stderr, "enter the root:", err)
			os.Exit(1)
		}
	}
	switch {
	case os.Getenv("BUS_FILTER") != "":
		os.Exit(Main(os.Args[1:]))
	case os.Getenv("BUS_INSIDE") != "":
		insideProgram(os.Args[1], os.Args[2])
		os.Exit(0)
	case os.Getenv("BUS_DIAL") != "":
		os.Exit(dialOnly(os.Args[1]))
	}
	os.Exit(m.Run())
}

// start starts this test as a filter, with its end of a pipe for --alive. It returns when the filter listens.
func start(t *testing.T, socket string, extra *os.File, args ...string) (cmd *exec.Cmd, alive *os.File, stderr *bytes.Buffer) {
	t.Helper()
	readyR, readyW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	aliveR, aliveW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), os.Args[0], append([]string{"--socket", socket, "--ready", "3", "--alive", "4"}, args...)...)
	cmd.Env = append(os.Environ(), "BUS_FILTER=1")
	cmd.ExtraFiles = []*os.File{readyW, aliveR}
	if extra != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, extra)
	}
	stderr = &bytes.Buffer{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = readyW.Close(), aliveR.Close()
	t.Cleanup(func() { _, _ = readyR.Close(), aliveW.Close() })
	if got, err := io.ReadAll(readyR); err != nil || string(got) != "x" {
		_ = cmd.Wait()
		t.Fatalf("ready: got %q, %v: %s", got, err, stderr)
	}
	return cmd, aliveW, stderr
}

func TestProcess(t *testing.T) {
	bus := daemon(t)
	peer(t, bus, "org.test.Talk", "org.test.Hidden")
	path := filepath.Join(folder(t), "socket")
	cmd, alive, stderr := start(t, path, nil, "--bus", bus, "--app", "org.nuka.App", "--talk", "org.test.Talk", "--see", "org.test.Talk")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: got %v, %v", info, err)
	}
	c := client(t, "unix:path="+path)
	if err := say(c, "org.test.Talk"); err != nil {
		t.Error(err)
	}
	if got := errorName(say(c, "org.test.Hidden")); got != "ServiceUnknown" {
		t.Errorf("got %s", got)
	}
	_ = alive.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil || !strings.Contains(stderr.String(), "org.test.Hidden:talk") {
			t.Errorf("the filter ends with %v, %s", err, stderr)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the filter does not end with its launcher")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket stays: %v", err)
	}
}

func TestProcessWithSocket(t *testing.T) {
	bus := daemon(t)
	peer(t, bus, "org.test.Talk")
	path := filepath.Join(folder(t), "socket")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd, _, stderr := start(t, "5", f, "--bus", bus, "--talk", "org.test.Talk")
	if err := say(client(t, "unix:path="+path), "org.test.Talk"); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v: %s", err, stderr)
	}
}

func TestProcessRefuses(t *testing.T) {
	path := filepath.Join(folder(t), "socket")
	for want, args := range map[string][]string{
		"is no address":    {"--socket", path, "--bus", "tcp:host=x"},
		"is never granted": {"--socket", path, "--bus", "unix:path=/x", "--talk", "org.freedesktop.systemd1"},
		"is no name":       {"--socket", path, "--bus", "unix:path=/x", "--app", "x"},
		"listen at":        {"--socket", "relative", "--bus", "unix:path=/x"},
		"is no flag":       {"--socket", path, "--bus", "unix:path=/x", "more"},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
		cmd.Env = append(os.Environ(), "BUS_FILTER=1")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: got %v, %s, want an error with %q", args, err, out, want)
		}
	}
}
