package inside

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/sandbox"
)

// passed lists the signals that this process passes on to the program.
var passed = []os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGTERM, syscall.SIGCONT,
	syscall.SIGVTALRM, syscall.SIGPROF, syscall.SIGWINCH, syscall.SIGIO, syscall.SIGPWR, syscall.SIGXCPU, syscall.SIGXFSZ,
}

// fromTerminal reports whether the kernel sends a signal to the process group of a terminal, so that a program in the caller's group has it already.
func fromTerminal(s os.Signal) bool {
	switch s {
	case syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGWINCH, syscall.SIGCONT:
		return true
	}
	return false
}

// catchSignals keeps this process from being ended by signals, soon: the Go runtime does it on a thread of its own, signal by signal, while this one goes on.
// What the caller ignores stays ignored, and the program inherits that. Run waits for it.
func (b *box) catchSignals() {
	b.signals, b.catching = make(chan os.Signal, 64), make(chan struct{})
	go func() {
		defer close(b.catching)
		for _, s := range passed {
			if !signal.Ignored(s) {
				signal.Notify(b.signals, s)
			}
		}
	}()
}

// limit sets the limits that belong to processes. Those of control groups are the caller's part.
func (b *box) limit() error {
	l := b.spec.Limits
	set := func(what int, n uint64) error {
		return fail("set a limit", "", unix.Setrlimit(what, &unix.Rlimit{Cur: n, Max: n}))
	}
	if l.Memory > 0 {
		if err := set(unix.RLIMIT_DATA, uint64(l.Memory)); err != nil {
			return err
		}
		b.started.Held.Memory = "rlimit of each process"
	}
	if l.Processes > 0 || l.Threads {
		startThreads()
	}
	if l.Processes > 0 && os.Geteuid() != 0 { // user 0 of the host is exempt
		// The kernel counts the processes and threads of a user in each user name space, and this process with them.
		if err := set(unix.RLIMIT_NPROC, uint64(l.Processes+selfThreads())); err != nil {
			return err
		}
		b.started.Held.Processes = "rlimit"
	}
	if l.CPUs > 0 {
		var cpus, some unix.CPUSet
		if err := unix.SchedGetaffinity(0, &cpus); err != nil {
			return fail("set a limit", "processors", err)
		}
		for i, left := 0, max(int(l.CPUs), 1); left > 0 && i < 8*len(cpus)*8; i++ {
			if cpus.IsSet(i) {
				some.Set(i)
				left--
			}
		}
		if err := unix.SchedSetaffinity(0, &some); err != nil {
			return fail("set a limit", "processors", err)
		}
		b.started.Held.CPUs = "affinity (the program can change it)"
	}
	return nil
}

// startThreads starts as many threads as this process will ever need: a program at its limit of processes leaves room for no more, and the Go
// runtime ends a process that gets none. Three threads wait in the kernel: for the program, for signals and for the caller.
func startThreads() {
	// A collection of garbage would start more, one for each processor. There is hardly any garbage.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(64 << 20)
	const ahead = 7
	var ready, done sync.WaitGroup
	ready.Add(ahead)
	done.Add(1)
	for range ahead {
		go func() {
			runtime.LockOSThread() // so that each has a thread of its own, which the runtime keeps for others
			ready.Done()
			done.Wait()
			runtime.UnlockOSThread()
		}()
	}
	ready.Wait()
	done.Done()
}

// run starts the program and serves it until it ends. It returns the exit code of this process.
func (b *box) run() int {
	<-b.catching
	if len(b.spec.Argv) == 0 {
		b.report(&sandbox.Report{Started: &b.started})
		b.report(&sandbox.Report{Ended: &sandbox.Ended{}})
		return 0
	}
	select {
	case s := <-b.signals: // it came before the program was there, and would be lost
		if n, ok := s.(syscall.Signal); ok && n != syscall.SIGCONT && n != syscall.SIGWINCH {
			b.report(&sandbox.Report{Started: &b.started})
			b.report(&sandbox.Report{Ended: &sandbox.Ended{Code: 128 + int(n), Signal: int(n)}})
			return 128 + int(n)
		}
	default:
	}
	pid, err := b.start()
	if err != nil {
		b.report(&sandbox.Report{Failed: asSetupError(err)})
		return exitFailed
	}
	b.report(&sandbox.Report{Started: &b.started})
	go b.passSignals(pid)
	go b.obey(pid)
	ended := b.reap(pid)
	if !b.spaces {
		b.killChildren()
	}
	b.report(&sandbox.Report{Ended: ended})
	return ended.Code
}

func (b *box) report(r *sandbox.Report) {
	b.reports.Lock()
	defer b.reports.Unlock()
	_ = sandbox.WriteReport(b.control, r)
}

// start starts the program from this thread, which has the rights that the program gets.
func (b *box) start() (pid int, err error) {
	p, err := b.lookUp()
	if err != nil {
		return 0, err
	}
	files := []uintptr{0, 1, 2}
	for i := range b.spec.Extra {
		files = append(files, uintptr(sandbox.FirstExtraFD+i))
	}
	attr := &syscall.ProcAttr{Env: b.spec.Env, Files: files, Sys: &syscall.SysProcAttr{Setsid: b.spec.Session == sandbox.SessionNew}}
	if !b.spaces {
		attr.Sys.Pdeathsig = syscall.SIGKILL
	}
	// No descriptor but those of the program may be open in it.
	if err := unix.CloseRange(sandbox.ControlFD, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return 0, fail("close files", "", err)
	}
	file, argv := p, b.spec.Argv
	if b.takesSockets() {
		file, argv = ownProgram, append([]string{sandbox.LauncherName, sandbox.ModeBecome, p}, argv...)
	}
	pid, err = syscall.ForkExec(file, argv, attr)
	runtime.KeepAlive(b.control)
	if err != nil {
		return 0, failHint(sandbox.StepProgram, p, err, whyNot(p, err))
	}
	return pid, nil
}

// ownProgram is the launcher's own program, where the tree has /proc.
const ownProgram = "/proc/self/exe"

// takesSockets reports whether the program is given listening sockets, of which LISTEN_PID has to say that they are its own (sd_listen_fds(3)).
// Without /proc in the tree nobody can tell it.
func (b *box) takesSockets() bool {
	return b.spec.Extra > 0 && slices.ContainsFunc(b.spec.Env, func(pair string) bool { return strings.HasPrefix(pair, "LISTEN_FDS=") }) && unix.Access(ownProgram, unix.F_OK) == nil
}

// become notes the number of this process, which nobody knows before it exists, and becomes the program.
func become(file string, argv []string) int {
	err := os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	if err == nil {
		err = syscall.Exec(file, argv, os.Environ())
	}
	fmt.Fprintf(os.Stderr, "nuka-sandbox: %s: %v\n", file, err)
	return exitFailed
}

// lookUp finds the program as a shell does: in PATH of its environment if it has no slash.
func (b *box) lookUp() (string, error) {
	name := b.spec.Argv[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	search := ""
	for _, e := range b.spec.Env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			search = v
		}
	}
	reason := unix.ENOENT
	for _, dir := range strings.Split(search, ":") {
		if !strings.HasPrefix(dir, "/") {
			continue // a relative folder in PATH would run what the working folder has
		}
		p := dir + "/" + name
		var st unix.Stat_t
		if unix.Stat(p, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		if unix.Access(p, unix.X_OK) == nil {
			return p, nil
		}
		reason = unix.EACCES
	}
	return "", &sandbox.SetupError{Step: sandbox.StepProgram, Object: name, Errno: reason, Detail: "it is in no folder of PATH (" + search + ")"}
}

// whyNot explains an error of execve that names the wrong file.
func whyNot(p string, err error) string {
	var st unix.Stat_t
	switch {
	case errors.Is(err, unix.ENOENT) && unix.Stat(p, &st) == nil:
		return "the file exists, but not the interpreter that it names: the dynamic loader of an ELF file, or the program after #!"
	case errors.Is(err, unix.ENOEXEC):
		return "it is no program of this machine, and has no #! line"
	}
	return ""
}

// passSignals passes on signals to the program. If it is in the caller's process group, the kernel has sent it those of the terminal.
func (b *box) passSignals(pid int) {
	for s := range b.signals {
		n, ok := s.(syscall.Signal)
		switch {
		case !ok || b.spec.Session == sandbox.SessionShared && fromTerminal(s):
		case b.spec.Session == sandbox.SessionNew:
			_ = syscall.Kill(-pid, n) // the program leads a process group
		default:
			_ = syscall.Kill(pid, n)
		}
	}
}

// obey passes on the signals that the caller asks for. If the caller ends, this process ends, and the sandbox with it.
func (b *box) obey(pid int) {
	buf := make([]byte, 1)
	for {
		n, _ := b.control.Read(buf)
		if n == 1 && buf[0] == sandbox.AskStopped {
			// The kernel continues the processes of a group one after the other: give it a moment to reach the program.
			time.Sleep(2 * time.Millisecond)
			still := b.stopped.Load()
			b.report(&sandbox.Report{Still: &still})
			continue
		}
		if n == 1 {
			_ = syscall.Kill(pid, syscall.Signal(buf[0]))
			continue
		}
		if b.spec.Outlive {
			return
		}
		if !b.spaces {
			b.killChildren()
		}
		os.Exit(exitFailed)
	}
}

// reap collects every process that ends, until the program does. In a process name space of its own, orphans are children of this process.
func (b *box) reap(program int) *sandbox.Ended {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WUNTRACED|syscall.WCONTINUED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return &sandbox.Ended{Code: exitFailed}
		case pid != program:
		case ws.Continued():
			b.stopped.Store(false)
		case ws.Stopped():
			b.stopped.Store(true)
			b.report(&sandbox.Report{Stopped: int(ws.StopSignal())})
		default:
			return endOf(ws)
		}
	}
}
