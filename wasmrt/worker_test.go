package wasmrt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/wasmrt"
)

const workerArg = "worker-of-the-test"

// workerMain is the main function of the child: it carries out messages and answers them.
func workerMain() {
	conn, err := wasmrt.Enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	for {
		b, err := conn.Recv()
		if err != nil {
			return
		}
		out, err := workerDo(strings.Fields(string(b)))
		if err != nil {
			out = "error: " + err.Error()
		}
		if err := conn.Send([]byte(out)); err != nil {
			os.Exit(4)
		}
	}
}

func workerDo(a []string) (string, error) {
	switch a[0] {
	case "read":
		b, err := os.ReadFile(a[1])
		return string(b), err
	case "write":
		return "ok", os.WriteFile(a[1], []byte("x"), 0o644)
	case "move":
		return "ok", os.Rename(a[1], a[2])
	case "dial":
		c, err := net.DialTimeout(a[1], a[2], time.Second)
		if err == nil {
			c.Close()
		}
		return "ok", err
	case "exec":
		b, err := exec.Command(a[1], a[2:]...).CombinedOutput()
		return string(b), err
	case "signal":
		pid, _ := strconv.Atoi(a[1])
		return "ok", syscallKill(pid)
	case "calls":
		return hostileCalls(a[1] == "network"), nil
	case "call": // NUMBER
		nr, _ := strconv.ParseUint(a[1], 10, 64)
		return rawCall(uintptr(nr)), nil
	case "sockets":
		return openSockets(), nil
	case "work": // makes Go's runtime collect, preempt and wait
		return "ok", runtimeWork()
	case "threads":
		// Blocking in many goroutines at once needs new threads.
		done := make(chan error)
		for range 32 {
			go func() { done <- blockThread() }()
		}
		for range 32 {
			if err := <-done; err != nil {
				return "", err
			}
		}
		return "ok", nil
	case "grandchild":
		w, err := wasmrt.Spawn(context.Background(), &wasmrt.WorkerCommand{Args: []string{workerArg}, Unconfined: true})
		if err != nil {
			return "", err
		}
		if err := w.Send([]byte("spin")); err != nil {
			return "", err
		}
		return strconv.Itoa(w.Pid()), nil
	case "spin": // ignores messages, so that only a signal ends the child
		for {
			time.Sleep(time.Second)
		}
	case "alloc": // MiB
		n, _ := strconv.Atoi(a[1])
		var keep [][]byte
		for range n {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			keep = append(keep, b)
			time.Sleep(time.Millisecond)
		}
		return strconv.Itoa(len(keep)), nil
	case "guest": // CACHE GUEST SCRATCH COMMANDS...
		ctx := context.Background()
		rt, err := wasmrt.New(ctx, &wasmrt.Options{CacheDir: a[1]})
		if err != nil {
			return "", err
		}
		defer rt.Close(ctx)
		m, err := rt.LoadFile(ctx, a[2])
		if err != nil {
			return "", err
		}
		d, err := wasmrt.OpenDir(a[3], nil)
		if err != nil {
			return "", err
		}
		defer d.Close()
		fs, err := wasmrt.NewFS(wasmrt.Mount{Path: "/nuka/build", Dir: d})
		if err != nil {
			return "", err
		}
		var out bytes.Buffer
		exit, err := rt.Run(ctx, &wasmrt.Program{Module: m, Args: append([]string{"guest"}, a[4:]...), FS: fs, Dir: "/nuka/build", Stdout: &out, Stderr: &out})
		return fmt.Sprintf("%sexit %d", out.String(), exit), err
	}
	return "", errors.New("unknown message")
}

func spawn(t *testing.T, c *wasmrt.WorkerCommand) *wasmrt.Worker {
	t.Helper()
	c.Args = []string{workerArg}
	c.Env = append(c.Env, "GORACE=atexit_sleep_ms=0") // with -race, an exit would otherwise take longer than Close waits
	w, err := wasmrt.Spawn(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Kill(nil); w.Wait() })
	return w
}

func ask(t *testing.T, w *wasmrt.Worker, msg string) string {
	t.Helper()
	if err := w.Send([]byte(msg)); err != nil {
		t.Fatalf("%s: %v", msg, err)
	}
	b, err := w.Recv()
	if err != nil {
		t.Fatalf("%s: %v; worker: %v", msg, err, w.Wait())
	}
	return string(b)
}

func TestWorkerRunsPrograms(t *testing.T) {
	b := newBox(t, nil)
	w := spawn(t, &wasmrt.WorkerCommand{
		Partial:  true,
		Limits:   wasmrt.WorkerLimits{Memory: 2 << 30, CPU: time.Minute, Wall: time.Minute, OpenFiles: 256},
		ReadOnly: []string{guestWasm}, ReadWrite: []string{runtimeDir, b.host("")},
	})
	got := ask(t, w, strings.Join([]string{"guest", runtimeDir, guestWasm, b.host(""),
		"mkdir d -- write d/f hello -- rename d/f g -- cat g -- mkdir e -- rename g e/h"}, " "))
	if want := "hello\nexit 0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := ask(t, w, "threads"); got != "ok" {
		t.Errorf("threads: got %q", got)
	}
	if err := w.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestWorkerLimits(t *testing.T) {
	b := newBox(t, nil)
	loop := strings.Join([]string{"guest", runtimeDir, guestWasm, b.host(""), "loop"}, " ")
	for _, c := range []struct {
		name, msg string
		limits    wasmrt.WorkerLimits
		want      string
	}{
		{"wall", loop, wasmrt.WorkerLimits{Wall: 700 * time.Millisecond}, "worker: ran longer than 700ms"},
		{"cpu", loop, wasmrt.WorkerLimits{CPU: 700 * time.Millisecond}, "worker: used more than 700ms of processor time"},
		{"memory", "alloc 4000", wasmrt.WorkerLimits{Memory: 300 << 20}, "worker: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "memory" && testing.Short() {
				t.Skip("the race detector takes memory of its own")
			}
			start := time.Now()
			w := spawn(t, &wasmrt.WorkerCommand{Partial: true, Limits: c.limits, ReadOnly: []string{guestWasm}, ReadWrite: []string{runtimeDir, b.host("")}})
			if err := w.Send([]byte(c.msg)); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(20*time.Second, func() { w.Kill(errors.New("the limit was not enforced")) })
			err := w.Wait()
			var limit *wasmrt.LimitError
			if !errors.As(err, &limit) || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			t.Logf("%v after %v", err, time.Since(start))
		})
	}
}

// TestWorkerMemoryIsRefused grows a program's memory in a worker without end: memory.grow fails, and the worker goes on.
func TestWorkerMemoryIsRefused(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory that is not in use yet is limited under Linux only")
	}
	b := newBox(t, nil)
	w := spawn(t, &wasmrt.WorkerCommand{
		Partial:  true,
		Limits:   wasmrt.WorkerLimits{Memory: 1 << 30},
		ReadOnly: []string{guestWasm}, ReadWrite: []string{runtimeDir, b.host("")},
	})
	guest := strings.Join([]string{"guest", runtimeDir, guestWasm, b.host("")}, " ")
	got := ask(t, w, guest+" grow")
	if !strings.Contains(got, "out of memory") || !strings.Contains(got, "got 256 MiB") || strings.Contains(got, "got 1024 MiB") {
		t.Errorf("got %q, want the program's own complaint below 1 GiB", got)
	}
	if got := ask(t, w, guest+" memory 64"); got != "64 MiB\nexit 0" {
		t.Errorf("after that: got %q", got)
	}
}

func TestWorkerCancel(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	w, err := wasmrt.Spawn(ctx, &wasmrt.WorkerCommand{Args: []string{workerArg}, Partial: true})
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("the user has had enough")
	cancel(cause)
	if err := w.Wait(); !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
}

func TestWorkerDiagnosesCrash(t *testing.T) {
	w, err := wasmrt.Spawn(context.Background(), &wasmrt.WorkerCommand{Partial: true, Path: "/bin/sh", Args: []string{"-c", "echo it broke >&2; exit 3"}})
	if err != nil {
		t.Skip(err)
	}
	if err := w.Wait(); err == nil || !strings.Contains(err.Error(), "it broke") {
		t.Errorf("got %v, want what the worker said", err)
	}
}

func confined(t *testing.T, outside string) *wasmrt.Worker {
	return spawn(t, &wasmrt.WorkerCommand{ReadOnly: []string{filepath.Join(outside, "ro")}, ReadWrite: []string{filepath.Join(outside, "rw")}})
}

// runtimeWork makes Go's runtime make its system calls: it collects garbage, preempts goroutines that make no calls, waits for
// timers, and returns memory to the system.
func runtimeWork() error {
	stop := make(chan struct{})
	for range 2 {
		go func() {
			for i := 0; ; i++ { // only a signal can preempt it
				if i%(1<<20) == 0 {
					select {
					case <-stop:
						return
					default:
					}
				}
			}
		}()
	}
	defer close(stop)
	for range 5 {
		b := make([]byte, 8<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	debug.FreeOSMemory()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	if err := r.SetReadDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
		return err
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("read a pipe: got %v", err)
	}
	return nil
}
