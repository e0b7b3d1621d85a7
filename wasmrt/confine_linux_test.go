package wasmrt_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/wasmrt"
)

func syscallKill(pid int) error { return syscall.Kill(pid, 0) }

func blockThread() error {
	ts := syscall.Timespec{Nsec: 20e6}
	if err := syscall.Nanosleep(&ts, nil); err != syscall.EINTR { // Go preempts threads with a signal
		return err
	}
	return nil
}

func TestConfinement(t *testing.T) {
	needWalls(t)
	outside := t.TempDir()
	for _, d := range []string{"ro", "rw/a", "rw/b"} {
		if err := os.MkdirAll(filepath.Join(outside, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"secret.txt", "ro/f", "rw/a/f"} {
		if err := os.WriteFile(filepath.Join(outside, f), []byte(secret), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ul, err := net.Listen("unix", filepath.Join(outside, "rw/sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer ul.Close()
	at := func(s string) string { return filepath.Join(outside, s) }

	run := func(t *testing.T, w *wasmrt.Worker, want func(msg string, allowed bool)) {
		for msg, allowed := range map[string]bool{
			"read " + at("ro/f"):                          true,
			"read " + at("rw/a/f"):                        true,
			"write " + at("rw/new"):                       true,
			"move " + at("rw/a/f") + " " + at("rw/b/f"):   true,
			"read " + at("secret.txt"):                    false,
			"read /etc/passwd":                            false,
			"read /proc/1/environ":                        false,
			"write " + at("ro/new"):                       false,
			"write " + at("new"):                          false,
			"move " + at("secret.txt") + " " + at("rw/s"): false,
			"dial tcp " + l.Addr().String():               false,
			"dial unix " + at("rw/sock"):                  false,
			"exec /bin/true":                              false,
			"signal " + strconv.Itoa(os.Getpid()):         false,
		} {
			if strings.HasPrefix(msg, "read "+at("rw/a/f")) {
				continue // another message moved the file; the order of messages varies
			}
			want(msg, allowed)
		}
	}
	w := confined(t, outside)
	run(t, w, func(msg string, allowed bool) {
		got := ask(t, w, msg)
		if ok := !strings.HasPrefix(got, "error: "); ok != allowed {
			t.Errorf("%s: got %q, allowed %v", msg, got, allowed)
		}
	})
	if got := ask(t, w, "threads"); got != "ok" {
		t.Errorf("threads: got %q", got)
	}
	if err := w.Close(); err != nil {
		t.Errorf("close: %v", err)
	}

	// The same messages without confinement show that the test tests the confinement.
	free := spawn(t, &wasmrt.WorkerCommand{Unconfined: true})
	for _, msg := range []string{"read " + at("secret.txt"), "dial tcp " + l.Addr().String(), "exec /bin/true", "signal " + strconv.Itoa(os.Getpid())} {
		if got := ask(t, free, msg); strings.HasPrefix(got, "error: ") {
			t.Errorf("unconfined %s: got %q", msg, got)
		}
	}
}

// TestConfinementNetwork checks that a worker with the network can use it and its start directory, and nothing else of the user:
// not even the sockets through which daemons recognise their user. If root starts the worker, it runs as Nobody.
func TestConfinementNetwork(t *testing.T) {
	needWalls(t)
	closed := filepath.Join(t.TempDir(), "closed") // to other users, except a process that is already inside
	outside := filepath.Join(closed, "outside")
	if err := os.MkdirAll(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(closed, "secret.txt"), []byte(secret), 0o644); err != nil {
		t.Fatal(err)
	}
	root := os.Geteuid() == 0
	if root {
		if err := os.Chown(outside, wasmrt.Nobody, wasmrt.Nobody); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ul, err := net.Listen("unix", filepath.Join(outside, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer ul.Close()
	if err := os.Chmod(filepath.Join(outside, "sock"), 0o777); err != nil { // other users may connect, as the socket's own user may
		t.Fatal(err)
	}
	w := spawn(t, &wasmrt.WorkerCommand{Dir: outside, ReadWrite: []string{"."}, Network: true})
	for msg, allowed := range map[string]bool{
		"dial tcp " + l.Addr().String():       true,
		"write new":                           true,
		"dial unix sock":                      false,
		"read ../secret.txt":                  false,
		"read /etc/passwd":                    false,
		"write ../new":                        false,
		"exec /bin/true":                      false,
		"signal " + strconv.Itoa(os.Getpid()): false,
	} {
		if got := ask(t, w, msg); strings.HasPrefix(got, "error: ") == allowed {
			t.Errorf("%s: got %q, allowed %v", msg, got, allowed)
		}
	}
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.Pid())); root && (err != nil || !strings.Contains(string(status), "Uid:\t65534\t65534\t65534\t65534\n")) {
		t.Errorf("it is still root's: %v", err)
	}
	free := spawn(t, &wasmrt.WorkerCommand{Dir: outside, Unconfined: true})
	for _, msg := range []string{"dial unix sock", "read ../secret.txt"} {
		if got := ask(t, free, msg); strings.HasPrefix(got, "error: ") {
			t.Errorf("unconfined %s: got %q", msg, got)
		}
	}
}

// TestWorkerDiesWithParent checks that a worker does not outlive a parent that is killed.
func TestWorkerDiesWithParent(t *testing.T) {
	w := spawn(t, &wasmrt.WorkerCommand{Unconfined: true})
	out := ask(t, w, "grandchild")
	time.Sleep(100 * time.Millisecond) // until the grandchild ignores messages
	pid, err := strconv.Atoi(out)
	if err != nil {
		t.Fatal(out)
	}
	// Only the child is killed, as the kernel's OOM killer would do; its own worker must die too.
	if err := syscall.Kill(w.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if syscall.Kill(pid, 0) != nil {
			return
		}
		if b, err := os.ReadFile("/proc/" + out + "/stat"); err == nil && strings.Contains(string(b), ") Z ") {
			return // dead, but this machine's init does not reap it
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("process %d still runs", pid)
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

func mkfifo(name string) error { return unix.Mkfifo(name, 0o644) }
