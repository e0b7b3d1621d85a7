package netd

import (
	"context"
	"encoding/json"
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
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/wasmrt"
)

const (
	// beginTimeout is how long a net daemon may take until it listens.
	beginTimeout = 30 * time.Second
	// askTimeout is how long it may take to say how it is.
	askTimeout = 2 * time.Second
	// pingEvery is how often it is looked whether it answers, and pingTimeout how long it may take to.
	pingEvery, pingTimeout = 10 * time.Second, 30 * time.Second
	// firstWait and lastWait are how long it is until another is started, each time twice as long; one that has lived for longTime
	// begins anew.
	firstWait, lastWait, longTime = 50 * time.Millisecond, 10 * time.Second, time.Minute
	// tries is how many net daemons a call may see the end of before it fails.
	tries = 4
	// grace is how long a net daemon may take to leave the swarm.
	grace = 5 * time.Second
	// settle is how long a process that follows another may look for its first peer before it is asked what that was asked.
	settle = 3 * time.Second
	// maxReached bounds the addresses that one process tells the next.
	maxReached = 16
	// callsAtOnce bounds the calls of a net daemon that are answered at a time, and with them the memory for it.
	callsAtOnce = 64
)

// Options configure a Daemon. Name and Swarm must be set.
type Options struct {
	// Name tells net daemons apart in a list of processes.
	Name string
	// Swarm is what swarm.New would be given. Its functions, its System and its Key are called in this process, also after an
	// end of Run that they outlast. Dir should be for net daemons alone: under Linux, when this process is root's, it becomes
	// Nobody's.
	Swarm *swarm.Options
	// Program is the daemon's program; "" is this one. With the arguments Arg and Name it must call Main.
	Program string
	// Env are the variables of the net daemon; there are no others.
	Env []string
}

// A Daemon is a membership that a process of its own has. It has the methods of a swarm.Swarm, which do the same; a call
// that was under way when the process died is made again with the next.
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
	read   chan struct{} // closed when nothing more comes from it
	err    error         // why; set when read is closed
}

// Start starts a net daemon, which listens when Start returns. Run must be called, which ends it.
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

// readOnly is what a process may read that is to find names and ways: what is not there is left out.
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
			w.Kill(p.err) // it has said something wrong
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

// ignoreExit drops that a process was ended from outside: a signal to the whole group asks both to end.
func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && !exit.Exited() {
		return nil
	}
	return err
}

// do makes a call, and makes it again when the process ends before it has answered.
func (d *Daemon) do(ctx context.Context, method string, args, result any, body []byte, part func(json.RawMessage)) ([]byte, error) {
	for range tries {
		p, err := d.process(ctx)
		if err != nil {
			return nil, err
		}
		p.settled(ctx)
		answer, err := p.link.call(ctx, method, args, result, body, part)
		if !errors.Is(err, errBroken) || ctx.Err() != nil {
			return answer, err
		}
	}
	return nil, protocol.Errorf(protocol.Unavailable, "%s: %d net daemons ended during this call", method, tries).
		WithHint("see the daemon's log; nuka status prints its path")
}

// settled waits until a process that follows another has a peer, or has had the time to find one.
func (p *process) settled(ctx context.Context) {
	for p.next && time.Since(p.since) < settle {
		var peers []protocol.Peer
		if _, err := p.link.call(ctx, callPeers, nil, &peers, nil, nil); err != nil || len(peers) > 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// process returns one that has not ended.
func (d *Daemon) process(ctx context.Context) (*process, error) {
	for {
		d.mu.Lock()
		p, next := d.now, d.next
		d.mu.Unlock()
		select {
		case <-p.link.dead:
		default:
			return p, nil
		}
		select {
		case <-next:
		case <-d.ended:
			return nil, protocol.Errorf(protocol.Unavailable, "the swarm was left")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ask asks the process how it is. Without an answer in time result stays as it is.
func (d *Daemon) ask(method string, result any) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	answer := make(chan json.RawMessage, 1)
	go func() {
		defer cancel()
		var raw json.RawMessage
		p, err := d.process(ctx)
		if err == nil {
			_, err = p.link.call(ctx, method, nil, &raw, nil, nil)
		}
		if err != nil {
			d.log.Debug("ask a net daemon", "name", d.name, "what", method, "error", err)
			return
		}
		answer <- raw
	}()
	<-ctx.Done() // the call may take longer
	select {
	case raw := <-answer:
		if raw == nil {
			return
		}
		if err := json.Unmarshal(raw, result); err != nil {
			d.log.Warn("ask a net daemon", "name", d.name, "what", method, "error", err)
		}
	default:
	}
}

// Statements is that of a swarm.Swarm. Signatures are verified in this process.
func (d *Daemon) Statements(ctx context.Context, ids []pir.PID) ([]protocol.Attestation, error) {
	var said lines
	if _, err := d.do(ctx, callStatements, statementsArgs{PIDs: ids}, &said, nil, nil); err != nil {
		return nil, err
	}
	all := make([]protocol.Attestation, 0, len(said.Lines))
	for _, line := range said.Lines {
		a, err := protocol.DecodeAttestation(line)
		if err != nil {
			return nil, fmt.Errorf("statements from a net daemon: %w", err)
		}
		all = append(all, *a)
	}
	return all, nil
}

// PIRs is that of a swarm.Swarm. The hashes are compared in this process; the caller decodes what it uses.
func (d *Daemon) PIRs(ctx context.Context, ids []pir.PID) (map[pir.PID][]byte, error) {
	var list lines
	if _, err := d.do(ctx, callPIRs, statementsArgs{PIDs: ids}, &list, nil, nil); err != nil {
		return nil, err
	}
	pirs := map[pir.PID][]byte{}
	for _, b := range list.Lines {
		if id := pir.Sum(b); slices.Contains(ids, id) {
			pirs[id] = b
		}
	}
	return pirs, nil
}

// Fetch is that of a swarm.Swarm.
func (d *Daemon) Fetch(ctx context.Context, root cid.CID, size int64, tell func(done, total int64)) error {
	_, err := d.do(ctx, callFetch, fetchArgs{root, size}, nil, nil, func(news json.RawMessage) {
		var p progress
		if json.Unmarshal(news, &p) == nil && tell != nil {
			tell(p.Done, p.Total)
		}
	})
	return err
}

// Announce is that of a swarm.Swarm. What it does not reach is announced by the next net daemon, which asks for all.
func (d *Daemon) Announce(ids ...pir.PID) {
	go d.ask(callAnnounce, new(any))
}

// Peers is that of a swarm.Swarm.
func (d *Daemon) Peers() []protocol.Peer {
	peers := []protocol.Peer{}
	d.ask(callPeers, &peers)
	return peers
}

// Status is that of a swarm.Swarm.
func (d *Daemon) Status() protocol.SwarmStatus {
	var st protocol.SwarmStatus
	d.ask(callStatus, &st)
	return st
}

// Addresses is that of a swarm.Swarm.
func (d *Daemon) Addresses() []string { return d.Status().Addresses }

// Connect is that of a swarm.Swarm.
func (d *Daemon) Connect(ctx context.Context, address string) error {
	_, err := d.do(ctx, callConnect, addressArgs{address}, nil, nil, nil)
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.reached = append(slices.DeleteFunc(d.reached, func(a string) bool { return a == address }), address)
		d.reached = d.reached[max(0, len(d.reached)-maxReached):]
	}
	return err
}

// Join is that of a swarm.Swarm. An invitation is for one time: when the net daemon dies over it, it may be spent.
func (d *Daemon) Join(ctx context.Context, ticket string, request []byte) ([]byte, error) {
	return d.do(ctx, callJoin, addressArgs{ticket}, nil, request, nil)
}

// Renew is that of a swarm.Swarm.
func (d *Daemon) Renew() { go d.ask(callRenew, new(any)) }

// Tell is that of a swarm.Swarm.
func (d *Daemon) Tell(ctx context.Context, head []byte) {
	if _, err := d.do(ctx, callTell, nil, nil, head, nil); err != nil {
		d.log.Debug("tell a head", "name", d.name, "error", err)
	}
}

// Pid is the number of the process that runs now.
func (d *Daemon) Pid() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now.worker.Pid()
}
