package wasmrt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// WorkerLimits bounds a worker process; a zero field means no limit.
type WorkerLimits struct {
	// Memory limits the memory of the worker in bytes, including all its programs and their machine code.
	// Under Linux the kernel refuses writable memory beyond it (a program's memory.grow answers -1), and a worker with more
	// resident memory is killed.
	Memory int64 `json:"memory,omitempty"`
	// CPU limits the worker's processor time, Wall its lifetime. A worker that exceeds one of them is killed.
	CPU  time.Duration `json:"cpu,omitempty"`
	Wall time.Duration `json:"wall,omitempty"`
	// OpenFiles is how many files the worker may have open.
	OpenFiles uint64 `json:"openFiles,omitempty"`
	// FileSize limits, in bytes, the size of a file that the worker writes. A Dir limits the number of files and their sum.
	FileSize int64 `json:"fileSize,omitempty"`
}

// A WorkerCommand says how to start a worker.
type WorkerCommand struct {
	// Path is the executable; empty is this one. Args are its arguments, without its name. They must make it call Enter.
	Path string
	Args []string
	// Env are all of the worker's variables; it inherits none.
	Env    []string
	Limits WorkerLimits
	// ReadOnly and ReadWrite list the host's files and directories that the worker may use, where the system can confine it.
	ReadOnly, ReadWrite []string
	// Network lets the worker use the network. Under Linux, if this process runs as root, the worker runs as user Nobody.
	Network bool
	// User is, under Linux and if this process runs as root, the user and group that the worker runs as; 0 is root. Spawn gives that user
	// the files in ReadWrite, and lets every user read the single files in ReadOnly; the caller lets it reach them.
	User int
	// Dir is the directory where the worker starts; empty is the root directory. The confined worker may be unable to reach
	// it by its full path.
	Dir string
	// Partial starts the worker even if the system lacks a wall; without it, Spawn fails with a *WallError.
	Partial bool
	// Unconfined starts the worker without any confinement except the limits.
	Unconfined bool
	// Stderr receives the worker's standard error; nil keeps only the last lines, for the error.
	Stderr io.Writer
}

// A Worker is a child process that runs programs. It can be killed at any time.
type Worker struct {
	// Conn is connected to the Conn that Enter returned in the child.
	*Conn
	cmd    *exec.Cmd
	in     io.WriteCloser
	done   chan struct{}
	err    error
	mu     sync.Mutex
	reason error // why the worker was killed
}

// enterSpec is the first message to a worker.
type enterSpec struct {
	Limits     WorkerLimits
	Allowed    Allowed
	Unconfined bool
}

// Nobody is, under Linux, the user and group ID of a worker that root started and that may use the network.
const Nobody = 65534

// Users returns the user of the next worker; nil keeps the user of this process.
type Users func() int

// Next returns the user of the next worker.
func (u Users) Next() int {
	if u == nil {
		return 0
	}
	return u()
}

// These users run the workers of a system daemon, each another one, so that a worker that has broken out of its other walls reaches the files
// of no other. They are above those that accounts have; containers and other package managers use them alike.
const (
	firstBuildUser = 872415232
	buildUsers     = 4096
)

var lastBuildUser atomic.Uint32

// BuildUsers is the Users of a system daemon.
func BuildUsers() int { return firstBuildUser + int(lastBuildUser.Add(1)%buildUsers) }

// Allowed lists what a confined process may use, and the user that it runs as.
type Allowed struct {
	// User is the user and group that the process becomes if it runs as root; 0 leaves it root, unless Network is set.
	User int
	// ReadOnly and ReadWrite list files and directories of the host.
	ReadOnly, ReadWrite []string
	// Network lets the process use the network.
	Network bool
	// Partial lets the process run even if the system lacks a wall.
	Partial bool
}

// A WallError says which walls around a worker this system lacks.
type WallError struct{ Missing []string }

func (e *WallError) Error() string {
	return "this system cannot confine a worker: it lacks " + strings.Join(e.Missing, "; ")
}

// Spawn starts a worker, which lives until it exits, Close or Kill is called, it exceeds a limit, or ctx is done.
// Where the system supports it, the worker dies with this process.
func Spawn(ctx context.Context, c *WorkerCommand) (*Worker, error) {
	name := c.Path
	if name == "" {
		exe, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("start worker: %w", err)
		}
		name = exe
	}
	cmd := exec.Command(name, c.Args...)
	cmd.Env = append([]string{}, c.Env...) // not nil, which would inherit the variables of this process
	cmd.Dir = c.Dir
	if cmd.Dir == "" && runtime.GOOS != "windows" {
		cmd.Dir = "/"
	}
	user := workerUser(c)
	if err := handOver(c, user); err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	cmd.Stdout = outW
	widen(in)
	widen(outW)
	last := &tail{}
	cmd.Stderr = last
	if c.Stderr != nil {
		cmd.Stderr = io.MultiWriter(c.Stderr, last)
	}
	// Children of a killed worker may hold its output open. That must not keep Wait from returning.
	cmd.WaitDelay = 2 * time.Second
	w := &Worker{Conn: NewConn(outR, in), cmd: cmd, in: in, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// Under Linux the kernel signals a parent's death when the thread that started the child ends, so this thread must stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := startConfined(cmd, c.Unconfined || c.Network, c.Partial)
		outW.Close()
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		_ = killWorker(cmd) // the worker may have left children
		w.finish(err, last.String())
		close(w.done)
	}()
	if err := <-started; err != nil {
		outR.Close()
		return nil, fmt.Errorf("start worker: %w", err)
	}
	go w.watch(ctx, &c.Limits)
	go func() { // after the end no process writes; readers have a minute to read the rest
		<-w.done
		time.AfterFunc(time.Minute, func() { outR.Close() })
	}()
	spec, err := json.Marshal(enterSpec{c.Limits, Allowed{user, c.ReadOnly, c.ReadWrite, c.Network, c.Partial}, c.Unconfined})
	if err == nil {
		err = w.Send(spec)
	}
	if err != nil {
		w.Kill(err)
		<-w.done
		return nil, fmt.Errorf("start worker: %w", errors.Join(err, w.err))
	}
	return w, nil
}

func (w *Worker) finish(err error, stderr string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.reason != nil:
		w.err = fmt.Errorf("worker: %w", w.reason)
	case err != nil && strings.Contains(stderr, "out of memory"):
		w.err = fmt.Errorf("worker: %w", &LimitError{"out of memory"})
	case err != nil:
		if stderr != "" {
			stderr = ": " + stderr
		}
		if reason := exitLimit(w.cmd.ProcessState); reason != nil {
			err = reason
		}
		w.err = fmt.Errorf("worker: %w%s", err, stderr)
	}
}

// watch kills the worker when it has exceeded its time or memory limit.
func (w *Worker) watch(ctx context.Context, l *WorkerLimits) {
	var wall <-chan time.Time
	if l.Wall > 0 {
		t := time.NewTimer(l.Wall)
		defer t.Stop()
		wall = t.C
	}
	var look <-chan time.Time
	if l.CPU > 0 || l.Memory > 0 {
		t := time.NewTicker(50 * time.Millisecond)
		defer t.Stop()
		look = t.C
	}
	for {
		select {
		case <-w.done:
			return
		case <-ctx.Done():
			w.Kill(context.Cause(ctx))
			return
		case <-wall:
			w.Kill(&LimitError{fmt.Sprintf("ran longer than %v", l.Wall)})
			return
		case <-look:
			cpu, rss, ok := usage(w.cmd.Process.Pid)
			if ok && l.CPU > 0 && cpu > l.CPU {
				w.Kill(&LimitError{fmt.Sprintf("used more than %v of processor time", l.CPU)})
				return
			}
			if ok && l.Memory > 0 && rss > l.Memory {
				w.Kill(&LimitError{fmt.Sprintf("used more than %d MiB of memory", l.Memory>>20)})
				return
			}
		}
	}
}

// Kill ends the worker now. Wait returns the reason.
func (w *Worker) Kill(reason error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reason == nil {
		w.reason = reason
		if w.reason == nil {
			w.reason = errors.New("killed")
		}
	}
	select {
	case <-w.done:
	default:
		_ = killWorker(w.cmd)
	}
}

// CloseSend ends the messages to the worker: the worker's Recv returns io.EOF.
func (w *Worker) CloseSend() error { return w.in.Close() }

// Wait waits for the end of the worker. It returns nil if the worker exited with code zero, a *LimitError if the worker
// exceeded a limit, and the context's cause if the context given to Spawn ended.
func (w *Worker) Wait() error {
	<-w.done
	return w.err
}

// Done returns a channel that is closed when the worker has ended.
func (w *Worker) Done() <-chan struct{} { return w.done }

// CPU returns the processor time that the worker has used, after it has ended.
func (w *Worker) CPU() time.Duration {
	<-w.done
	if s := w.cmd.ProcessState; s != nil {
		return s.UserTime() + s.SystemTime()
	}
	return 0
}

// Pid returns the worker's process ID.
func (w *Worker) Pid() int { return w.cmd.Process.Pid }

// Close asks the worker to end and waits for that; after a second it kills the worker.
func (w *Worker) Close() error {
	_ = w.CloseSend()
	t := time.AfterFunc(time.Second, func() { w.Kill(nil) })
	defer t.Stop()
	return w.Wait()
}

// Enter confines this process as its parent requested, and returns the connection. A worker calls it before anything else.
// Afterwards standard input and output belong to the connection, and os.Stdout is standard error.
func Enter() (*Conn, error) {
	in, out := os.Stdin, os.Stdout
	os.Stdout = os.Stderr
	c := NewConn(in, out)
	b, err := c.Recv()
	if err != nil {
		return nil, fmt.Errorf("enter worker: %w", err)
	}
	var spec enterSpec
	if err := json.Unmarshal(b, &spec); err != nil {
		return nil, fmt.Errorf("enter worker: %w", err)
	}
	if err := closeInherited(); err != nil {
		return nil, fmt.Errorf("enter worker: %w", err)
	}
	if spec.Unconfined {
		err = limitSelf(&spec.Limits)
	} else {
		err = confine(&spec.Limits, &spec.Allowed)
	}
	if err != nil {
		return nil, fmt.Errorf("enter worker: %w", err)
	}
	return c, nil
}

// tail keeps the last bytes written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if len(t.b) > 2*tailSize {
		t.b = append(t.b[:0], t.b[len(t.b)-tailSize:]...)
	}
	return len(b), nil
}

// String returns the first line that reports a crash of Go's runtime, or else the last line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	for _, l := range lines {
		if strings.HasPrefix(l, "fatal error:") || strings.HasPrefix(l, "panic:") || strings.HasPrefix(l, "runtime:") {
			return l
		}
	}
	return lines[len(lines)-1]
}
