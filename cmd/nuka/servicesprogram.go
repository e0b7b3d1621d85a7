package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/sandbox"
	"github.com/MordragT/nuka/service"
	"github.com/MordragT/nuka/service/supervise"
	"github.com/MordragT/nuka/wasmrt"
)

// exitTerminated is the exit code of a program that ended because it was asked to, as a shell shows it.
const exitTerminated = 128 + 15

// rightUser returns an error if this process is not the user that a service is to run as: only a service manager of the machine changes users.
func rightUser(s *service.Service) error {
	own, err := user.Current()
	switch {
	case s.User == "" || s.User == service.UserDynamic && os.Getuid() != 0:
		return nil
	case s.User != service.UserDynamic && (err != nil || own.Username == s.User):
		return err
	}
	return protocol.Errorf(protocol.Denied, "%s: it is to run as the user %s, and nuka services run changes no users", s.Name, s.User).
		WithHint("use a service manager of the machine: nuka services show … --system")
}

// configure writes the files of a service into their folder, which is new.
func configure(f service.Folders, s *service.Service) error {
	for name, text := range s.Config {
		if err := os.WriteFile(filepath.Join(f.Config, name), []byte(text), 0o400); err != nil {
			return err
		}
	}
	return nil
}

// notifyFolder returns the folder of the socket at which nuka services run hears that the program is ready; "" is none.
func notifyFolder() string {
	if at := os.Getenv("NOTIFY_SOCKET"); filepath.IsAbs(at) {
		return filepath.Dir(at)
	}
	return ""
}

// asService is what a program has by being a service. Its zero value: it is none.
type asService struct {
	is      bool // nothing that it starts outlives it
	sockets []supervise.Handed
	limits  service.Limits
	// shown are folders that a program in a sandbox has without a permission: they are made for this start alone.
	shown []sandbox.Mount
}

// private gives a program a folder that is made for its start: its secrets, or that of the socket at which it says that it is ready. It returns the path at which the
// program finds it; "" stays "". In a sandbox that is a path of its own: where the manager gives no XDG_RUNTIME_DIR the folder lies in /dev/shm, and no permission
// shows what is below /dev.
func (o *runOptions) private(at, name string, boxed bool) (string, error) {
	switch {
	case at == "":
		return "", nil
	case !boxed:
		o.dirs = append(o.dirs, at+":ro")
		return at, nil
	}
	source, err := filepath.EvalSymlinks(at)
	if err != nil {
		return "", err
	}
	inside := "/run/nuka/" + name
	o.service.shown = append(o.service.shown, sandbox.Mount{Kind: sandbox.RO, Source: source, Target: inside})
	return inside, nil
}

func (o *asService) wasmLimits() wasmrt.Limits {
	return wasmrt.Limits{Memory: o.limits.Memory, TotalMemory: o.limits.Memory, Processes: o.limits.Tasks}
}

func (o *asService) wasmSockets() (*wasmrt.Sockets, error) {
	if len(o.sockets) == 0 {
		return nil, nil
	}
	sockets, err := wasmrt.NewSockets(asListening(o.sockets))
	if err != nil {
		return nil, protocol.Errorf(protocol.Unsupported, "%w", err)
	}
	return sockets, nil
}

// drainOnTerminate lets a server of WebAssembly, which knows no signals, end when this process is asked to: it accepts no more connections, finishes those that it has,
// and then the context ends. A second signal ends this process at once. Served reports whether the server ended in this way.
func drainOnTerminate(ctx context.Context, sockets *wasmrt.Sockets) (_ context.Context, served func() bool) {
	if sockets == nil {
		return ctx, func() bool { return false }
	}
	ctx, cancel := context.WithCancel(ctx)
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, terminate)
	var ended atomic.Bool
	go func() {
		select {
		case <-asked:
		case <-ctx.Done():
			return
		}
		signal.Reset(terminate)
		if sockets.Drain(ctx) == nil {
			ended.Store(true)
			cancel()
		}
	}()
	return ctx, func() bool {
		signal.Stop(asked)
		cancel()
		return ended.Load()
	}
}

// box gives the sandbox of a service its sockets and limits.
func (o *asService) box(spec *sandbox.Spec, options *sandbox.Options) error {
	env, files := socketEnv(o.sockets)
	spec.Env, options.Extra = append(spec.Env, env...), files
	spec.Limits.Memory, spec.Limits.Processes, spec.Limits.CPUs = o.limits.Memory, o.limits.Tasks, float64(o.limits.CPU)/100
	if o.limits.Files > 0 {
		return limitFiles(o.limits.Files)
	}
	return nil
}

// runServiceProgram runs a memory-safe program as a service, with the sockets and limits that it was given. When it ends, or when this process is asked to end, all that it
// started ends too, also what left its process group.
func (a *app) runServiceProgram(ctx context.Context, command []string, o *asService) error {
	reap := becomeReaper()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if o.limits.Tasks > 0 || o.limits.CPU > 0 {
		a.say("limits of tasks and cpu hold for programs in a sandbox, and for this one only if the service manager holds them")
	}
	env, files := socketEnv(o.sockets)
	words := append([]string{becomeCommand, strconv.Itoa(o.limits.Files), strconv.FormatInt(o.limits.Memory, 10)}, command...)
	c := exec.Command(self, words...)
	c.Stdin, c.Stdout, c.Stderr = a.in, a.outFile(), a.terminal.err
	c.Env, c.ExtraFiles = append(os.Environ(), env...), files
	apart(c)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, passedSignals...)
	defer signal.Stop(signals)
	if err := ctx.Err(); err != nil {
		return err // this process was asked to end before it could pass signals on
	}
	if err := c.Start(); err != nil {
		return protocol.Errorf(protocol.Failed, "services: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for {
		select {
		case s := <-signals:
			passOn(c, s)
		case err := <-ended:
			reap()
			var failed *exec.ExitError
			if errors.As(err, &failed) {
				return exitError(exitStatus(failed))
			}
			return err
		}
	}
}

// becomeCommand is the first argument of a process that becomes the program of a service: FILES MEMORY PROGRAM ARGUMENT…
// It sets what only the program's own process can: its limits, and its number in LISTEN_PID.
const becomeCommand = "__become"

func (t *terminal) become(words []string) int {
	err := errors.New("want FILES MEMORY PROGRAM")
	if len(words) > 2 {
		files, err1 := strconv.Atoi(words[0])
		memory, err2 := strconv.ParseInt(words[1], 10, 64)
		if err = errors.Join(err1, err2); err == nil {
			err = becomeProgram(files, memory, words[2:])
		}
	}
	fmt.Fprintf(t.err, "nuka: services: %v\n", err)
	return 1
}

// leftWait is how long what a program left behind may take to end before it is killed.
const leftWait = 200 * time.Millisecond
