package netd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/MordragT/nuka/node/swarm"
	"github.com/MordragT/nuka/wasmrt"
)

const (
	// beginTimeout is the time that a net daemon has until it listens.
	beginTimeout = 30 * time.Second
	// askTimeout is the time that it has to report its state.
	askTimeout = 2 * time.Second
	// pingEvery is the time between two pings, and pingTimeout the time that a net daemon has to answer one.
	pingEvery, pingTimeout = 10 * time.Second, 30 * time.Second
	// firstWait and lastWait bound the time until the next process is started. It doubles each time, and starts again at firstWait after a
	// process that has lived for longTime.
	firstWait, lastWait, longTime = 50 * time.Millisecond, 10 * time.Second, time.Minute
	// tries bounds the net daemons that end during a call before the call fails.
	tries = 4
	// grace is the time that a net daemon has to leave the swarm. Leaving waits for libp2p's search for a router, which takes 5 s and cannot be ended.
	grace = 10 * time.Second
	// settle is the time in which a process that follows another may find its first peer before it gets calls.
	settle = 3 * time.Second
	// maxReached bounds the addresses that the next process gets from the last one.
	maxReached = 16
	// callsAtOnce bounds the calls of a net daemon that this process answers at the same time, and so the memory for them.
	callsAtOnce = 64
)

// Options configure a Daemon. Name and Swarm must be set.
type Options struct {
	// Name tells net daemons apart in a list of processes.
	Name string
	// Swarm are the options for swarm.New. Its functions, its System and its Key are called in this process, and calls that run may outlast
	// Run. Only net daemons should use Dir: if this process is root's under Linux, wasmrt.Nobody becomes its owner.
	Swarm *swarm.Options
	// Program is the daemon's program; "" is this one. With the arguments Arg and Name it must call Main.
	Program string
	// Env are the variables of the net daemon; there are no others.
	Env []string
}

// A Daemon is a membership in a process of its own. Its methods do what those of a swarm.Swarm do. If the process dies during a call,
// the Daemon makes the call again with the next process.
type Daemon struct {
	o    *swarm.Options
	name string
	cmd  wasmrt.WorkerCommand
	log  *slog.Logger

	mu      sync.Mutex
	now     *process
	next    chan struct{} // closed and replaced when now is set
	ended   chan struct{} // closed when Run has returned
	listen  []string      // where the last one listened
	reached []string      // addresses that it has connected to when it was asked to, the newest last
}

// A process is one net daemon.
type process struct {
	worker *wasmrt.Worker
	link   *link
	since  time.Time
	next   bool          // another was before it
	read   chan struct{} // closed when no more messages come from it
	err    error         // why; set when read is closed
}

// Start starts a net daemon, which listens when Start returns. The caller must call Run, which ends it.
func Start(ctx context.Context, o *Options) (*Daemon, error) {
	d := &Daemon{o: o.Swarm, name: o.Name, log: o.Swarm.Log, next: make(chan struct{}), ended: make(chan struct{}), listen: o.Swarm.Listen}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if o.Swarm.Dir == "" {
		return nil, errors.New("start a net daemon: it has no folder")
	}
	d.cmd = wasmrt.WorkerCommand{
		Path: o.Program, Args: []string{Arg, o.Name}, Env: o.Env, Dir: o.Swarm.Dir, Network: true, Partial: true,
		ReadWrite: []string{"."}, ReadOnly: readOnly,
	}
	if err := os.MkdirAll(o.Swarm.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("start a net daemon: %w", err)
	}
	if runtime.GOOS == "linux" && os.Geteuid() == 0 {
		if err := os.Chown(o.Swarm.Dir, wasmrt.Nobody, wasmrt.Nobody); err != nil {
			return nil, fmt.Errorf("start a net daemon: %w", err)
		}
	}
	p, err := d.start(ctx)
	if err != nil {
		return nil, err
	}
	d.set(p)
	return d, nil
}

// readOnly are the files and folders that a process needs to resolve names and find routes. Missing ones are left out.
var readOnly = []string{
	"/etc/resolv.conf", "/run/systemd/resolve", "/etc/hosts", "/etc/nsswitch.conf", "/etc/services", "/etc/protocols",
	"/etc/localtime", "/proc/self/net", "/proc/sys/net", "/proc/sys/kernel", "/sys/kernel/mm",
}

// start starts a process and waits until it listens.
func (d *Daemon) start(ctx context.Context) (*process, error) {
	life := context.WithoutCancel(ctx)
	w, err := wasmrt.Spawn(life, &d.cmd)
	if err != nil {
		return nil, fmt.Errorf("start a net daemon: %w", err)
	}
	system := &served{o: d.o, log: d.log}
	p := &process{worker: w, link: newLink(w.Conn, system.handlers(), callsAtOnce), since: time.Now(), read: make(chan struct{})}
	go func() {
		p.err = p.link.run(life, system.close)
		close(p.read)
		if !errors.Is(p.err, io.EOF) {
			w.Kill(p.err) // it has sent a malformed message
			return
		}
		select {
		case <-w.Done():
		case <-time.After(grace):
			w.Kill(errors.New("it has closed the link and lives on"))
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, beginTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { w.Kill(ctx.Err()) })
	defer stop()
	var b begun
	if _, err = p.link.call(ctx, callBegin, d.beginArgs(), &b, nil, nil); err != nil {
		w.Kill(nil)
		<-p.read
		if errors.Is(err, errBroken) {
			err = w.Wait()
		}
		return nil, fmt.Errorf("start a net daemon: %w", err)
	}
	d.mu.Lock()
	d.listen = b.Listening
	d.mu.Unlock()
	return p, nil
}

func (d *Daemon) beginArgs() *beginArgs {
	d.mu.Lock()
	defer d.mu.Unlock()
	level := slog.LevelError
	for _, l := range []slog.Level{slog.LevelWarn, slog.LevelInfo, slog.LevelDebug} {
		if d.log.Enabled(context.Background(), l) {
			level = l
		}
	}
	return &beginArgs{
		Key: publicKey(d.o.Key), Prefix: d.o.Prefix, Listen: d.listen, Bootstrap: slices.Concat(d.o.Bootstrap, d.reached), MDNS: d.o.MDNS, Relay: d.o.Relay,
		Connections: d.o.Connections, Up: d.o.Up, Down: d.o.Down,
		Admits: d.o.Admit != nil, Invites: d.o.Invited != nil, Measures: d.o.Metrics != nil, LogLevel: int(level),
	}
}

func (d *Daemon) set(p *process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = p
	close(d.next)
	d.next = make(chan struct{})
}

// Run keeps a net daemon running until ctx ends, and returns when it has left the swarm.
func (d *Daemon) Run(ctx context.Context) error {
	defer close(d.ended)
	if err := d.measure(); err != nil {
		d.log.Error("figures of a net daemon", "error", err)
	}
	wait := firstWait
	for {
		d.mu.Lock()
		p := d.now
		d.mu.Unlock()
		if d.watch(ctx, p); ctx.Err() != nil {
			return d.stop(p)
		}
		d.log.Error("a net daemon has ended; another is started", "name", d.name, "error", p.worker.Wait())
		if time.Since(p.since) > longTime {
			wait = firstWait
		}
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wait):
			}
			wait = min(2*wait, lastWait)
			p, err := d.start(ctx)
			if err == nil {
				p.next = true
				d.set(p)
				break
			}
			if ctx.Err() == nil {
				d.log.Error("start a net daemon", "name", d.name, "error", err)
				d.mu.Lock()
				d.listen = d.o.Listen // another may have its ports by now
				d.mu.Unlock()
			}
		}
	}
}

// watch returns when the process has ended, or was killed because it does not answer, or when ctx has ended.
func (d *Daemon) watch(ctx context.Context, p *process) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.read:
			return
		case <-tick.C:
		}
		p.ping(ctx, pingTimeout)
	}
}

// ping kills a process that does not answer.
func (p *process) ping(ctx context.Context, timeout time.Duration) {
	late := time.AfterFunc(timeout, func() { p.worker.Kill(errors.New("it does not answer")) })
	defer late.Stop()
	if _, err := p.link.call(ctx, callPing, nil, nil, nil, nil); err != nil && ctx.Err() == nil {
		p.worker.Kill(err)
	}
}

// stop ends a process.
func (d *Daemon) stop(p *process) error {
	err := p.worker.CloseSend()
	late := time.AfterFunc(grace, func() { p.worker.Kill(errors.New("it did not leave in time")) })
	defer late.Stop()
	<-p.read
	return errors.Join(err, ignoreExit(p.worker.Wait()))
}

// ignoreExit drops the error of a process that a signal ended: a signal to the whole process group ends both.
func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && !exit.Exited() {
		return nil
	}
	return err
}

// Pid is the number of the process that runs now.
func (d *Daemon) Pid() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now.worker.Pid()
}
