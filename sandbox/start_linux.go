package sandbox

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Process is a sandbox whose program runs. All its methods may be called from several goroutines, and Wait must be called.
type Process struct {
	init    *os.Process
	control *os.File
	groups  []string // control groups to remove
	started Started
	stop    func() bool  // ends the watch on the context
	done    func() error // the error of the context

	write  sync.Mutex
	once   sync.Once
	status Status
	err    error
}

// Start starts a program in a sandbox: launcher is the path of the launcher's program. It returns when the program runs, so errors of the set-up
// are its errors: a *SetupError, or a *ForbiddenError if the system does not allow the name spaces and the Spec no fallback.
// If ctx is done, everything inside is killed.
func Start(ctx context.Context, launcher string, spec *Spec, opt *Options) (*Process, error) {
	if opt == nil {
		opt = &Options{}
	}
	s := *spec
	s.Extra = len(opt.Extra)
	if err := s.Check(); err != nil {
		return nil, err
	}
	program, release, err := openLauncher(launcher)
	if err != nil {
		return nil, err
	}
	defer release()
	p, err := startIn(ctx, ModeSpaces, program, s, opt)
	var forbidden *ForbiddenError
	if errors.As(err, &forbidden) && s.Fallback {
		return startIn(ctx, ModeFallback, program, s, opt)
	}
	return p, err
}

// startIn starts the launcher in a mode, and returns when the program runs.
func startIn(ctx context.Context, mode, program string, s Spec, opt *Options) (*Process, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	defer theirs.Close()
	p := &Process{control: ours, done: ctx.Err}
	files, closeNull, err := opt.files(theirs)
	if err == nil {
		defer closeNull()
		err = p.launch(mode, program, &s, files, opt.host())
	}
	if err != nil {
		ours.Close()
		return nil, err
	}
	p.stop = context.AfterFunc(ctx, func() { _ = p.Kill() })
	theirs.Close() // so that the end of the launcher is the end of the socket
	if err := p.begin(&s, opt); err != nil {
		_ = p.Kill()
		_, _ = p.Wait()
		return nil, cmp.Or(ctx.Err(), err)
	}
	return p, nil
}

// launcherProcs is the environment of the launcher. It keeps the Go runtime from looking again and again how many processors it may use.
const launcherProcs = "GOMAXPROCS=2"

// launch starts the launcher, in new name spaces or in those of this process.
func (p *Process) launch(mode, program string, s *Spec, files []*os.File, host hostUser) (err error) {
	attr := &os.ProcAttr{Files: files, Env: []string{launcherProcs}, Sys: host.become(host.uid, host.gid, &syscall.SysProcAttr{})}
	if mode == ModeSpaces {
		attr.Sys = s.spaces(host)
	}
	p.init, err = os.StartProcess(program, []string{LauncherName, mode}, attr)
	switch {
	case err == nil:
		return nil
	case unix.Access(program, unix.X_OK) != nil || mode != ModeSpaces:
		return &SetupError{Step: "start the launcher", Object: program, Detail: err.Error(), Hint: "install " + LauncherName + " beside nuka", cause: err}
	}
	return diagnose(err)
}

// spaces returns the attributes of a process in new name spaces. Inside, one user and one group exist; they are the caller's.
// The launcher has the capabilities that the set-up needs, over these name spaces only.
func (s *Spec) spaces(host hostUser) *syscall.SysProcAttr {
	flags := uintptr(unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP)
	if s.Net == NetNone {
		flags |= unix.CLONE_NEWNET
	}
	inside := func(want *int, own int) int {
		if want != nil {
			return *want
		}
		return own
	}
	uid, gid := inside(s.UID, host.uid), inside(s.GID, host.gid)
	return host.become(uid, gid, &syscall.SysProcAttr{
		Cloneflags:  flags,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: host.uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: gid, HostID: host.gid, Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SETPCAP, unix.CAP_SYS_RESOURCE, unix.CAP_SYS_TIME,
			unix.CAP_DAC_OVERRIDE}, // an overlay acts on its work folder, of mode 0, as who mounted it
	})
}

// A hostUser is the user and group of the host that a sandbox acts as.
type hostUser struct {
	uid, gid int
	other    bool // than the caller
}

func (o *Options) host() hostUser {
	if o.User > 0 && os.Geteuid() == 0 {
		return hostUser{o.User, o.User, true}
	}
	return hostUser{uid: os.Geteuid(), gid: os.Getegid()}
}

// become makes a process that this process starts take a user and group, without the other groups of this process.
func (h hostUser) become(uid, gid int, attr *syscall.SysProcAttr) *syscall.SysProcAttr {
	if h.other {
		attr.GidMappingsEnableSetgroups = true
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return attr
}

// begin lets the launcher set up the sandbox, and waits until the program runs.
func (p *Process) begin(s *Spec, opt *Options) error {
	if opt.Complete != nil {
		made := *s
		if err := opt.Complete(s); err != nil {
			return err
		}
		if s.Net != made.Net || s.UID != made.UID || s.GID != made.GID {
			return errors.New("sandbox: the name spaces exist already, and were not made for this description")
		}
		s.Extra = made.Extra
	}
	held := p.group(&s.Limits)
	s.Limits.without(held) // what a group holds needs no limit of each process as well
	encoded, err := s.Encode()
	if err != nil {
		return err
	}
	if opt.Prepare != nil {
		if err := opt.Prepare(p.init.Pid); err != nil {
			return err
		}
	}
	if err := WriteSpec(p.control, encoded); err != nil {
		return &SetupError{Step: "send the description to the launcher", Detail: err.Error(), cause: err}
	}
	reports := io.Reader(p.control)
	if s.Listen > 0 {
		socket, before, err := receiveSocket(p.control)
		if err != nil {
			return &SetupError{Step: "receive the listening socket", Detail: err.Error(), cause: err}
		}
		reports = io.MultiReader(bytes.NewReader(before), p.control)
		switch {
		case socket == nil: // a report comes first: the set-up failed
		case opt.Listening == nil:
			socket.Close()
		default:
			opt.Listening(socket)
		}
	}
	r, err := ReadReport(reports)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET):
		return &SetupError{Step: "set up", Detail: "the launcher ended without a report", Hint: "the launcher may be of another version: install it and nuka together"}
	case err != nil:
		return err
	case r.Failed != nil:
		return p.failed(r.Failed)
	case r.Started == nil:
		return errors.New("sandbox: the launcher's first report is none of the start")
	}
	p.started = *r.Started
	p.started.Held.merge(held)
	return nil
}

// failed returns the error for a failed set-up. Some systems allow user name spaces and then no capability in them.
func (p *Process) failed(e *SetupError) error {
	if e.Step == "separate the mounts" && (e.Errno == unix.EPERM || e.Errno == unix.EACCES) {
		return diagnose(e)
	}
	return e
}

// without removes the limits that are held. The launcher must know that there is one of processes: its own threads count.
func (l *Limits) without(h Held) {
	if h.Memory != "" {
		l.Memory = 0
	}
	if h.Processes != "" {
		l.Processes, l.Threads = 0, true
	}
	if h.CPUs != "" {
		l.CPUs = 0
	}
}

// merge replaces what the launcher said about limits by what control groups hold.
func (h *Held) merge(groups Held) {
	for _, f := range []struct{ to, from *string }{{&h.Memory, &groups.Memory}, {&h.Processes, &groups.Processes}, {&h.CPUs, &groups.CPUs}} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
}

// Wait waits for the program to end, and returns how it ended. An error means that the sandbox was killed from outside, or by its context.
func (p *Process) Wait() (Status, error) {
	p.once.Do(func() { p.status, p.err = p.wait(false) })
	return p.status, p.err
}

// waitInForeground waits as Wait does. If the program is stopped, it stops this process as well, so that a shell notices, and lets
// the program continue together with it.
func (p *Process) waitInForeground() (Status, error) {
	p.once.Do(func() { p.status, p.err = p.wait(true) })
	return p.status, p.err
}

func (p *Process) wait(follow bool) (Status, error) {
	var ended *Ended
	confirmed := 0
	for ended == nil {
		r, err := ReadReport(p.control)
		if err != nil {
			break
		}
		switch {
		case follow && r.Stopped != 0:
			confirmed = 0
			_ = p.send(AskStopped)
		case follow && r.Still != nil && *r.Still && confirmed == 0:
			// A terminal may have stopped this process before it read the answer, and somebody has continued it since: ask once more.
			confirmed++
			_ = p.send(AskStopped)
		case follow && r.Still != nil && *r.Still:
			stopSelf()
			_ = p.Signal(syscall.SIGCONT)
		}
		ended = r.Ended
	}
	st, err := p.init.Wait()
	p.stop()
	p.control.Close()
	p.removeGroups()
	switch {
	case ended != nil:
		return Status{Code: ended.Code, Signal: syscall.Signal(ended.Signal)}, nil
	case err != nil:
		return Status{}, fmt.Errorf("sandbox: wait: %w", err)
	case p.done() != nil:
		return Status{Code: 128 + int(unix.SIGKILL), Signal: unix.SIGKILL}, p.done()
	}
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return Status{Code: 128 + int(ws.Signal()), Signal: ws.Signal()}, fmt.Errorf("sandbox: its init was killed by signal %d (%v)", ws.Signal(), ws.Signal())
	}
	return Status{Code: st.ExitCode()}, errors.New("sandbox: its init ended without a report")
}

// Signal sends a signal to the program.
func (p *Process) Signal(s os.Signal) error {
	n, ok := s.(syscall.Signal)
	if !ok || n <= 0 || n > 64 {
		return fmt.Errorf("sandbox: %v is no signal", s)
	}
	return p.send(byte(n))
}

func (p *Process) send(b byte) error {
	p.write.Lock()
	defer p.write.Unlock()
	_, err := p.control.Write([]byte{b})
	return err
}

// Kill ends everything inside.
func (p *Process) Kill() error { return p.init.Kill() }

// Pid returns the process ID of init on the host.
func (p *Process) Pid() int { return p.init.Pid }

// Held tells what holds the limits.
func (p *Process) Held() Held { return p.started.Held }

// Missing lists the walls that this kernel lacks.
func (p *Process) Missing() []string { return p.started.Missing }

// socketPair returns the two ends of a socket. Ours does not block a thread while it waits.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control"), nil
}

// files returns the descriptors of the launcher in their order. Those that are not given are the null device.
func (o *Options) files(control *os.File) (list []*os.File, closeNull func(), err error) {
	closeNull = func() {}
	for _, f := range []*os.File{o.Stdin, o.Stdout, o.Stderr} {
		if f == nil {
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			if err != nil {
				closeNull()
				return nil, nil, err
			}
			before := closeNull
			closeNull = func() { before(); null.Close() }
			f = null
		}
		list = append(list, f)
	}
	return append(append(list, control), o.Extra...), closeNull, nil
}

// openLauncher returns a path from which to execute the launcher. It is that of a descriptor: root has no right to pass through
// folders of other users in its new user name space.
//
// A program inside that gets hold of the file that it executes must not be able to write to the launcher on the host (CVE-2019-5736). Landlock prevents
// that; without it, the launcher is executed from a sealed copy in memory.
func openLauncher(p string) (string, func(), error) {
	missing := func(err error) error {
		return &SetupError{Step: "start the launcher", Object: p, Detail: err.Error(), Hint: "install " + LauncherName + " beside nuka", cause: err}
	}
	if landlockVersion() > 0 {
		fd, err := unix.Open(p, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return "", nil, missing(err)
		}
		return descriptorPath(fd), func() { unix.Close(fd) }, nil
	}
	b, err := os.ReadFile(p)
	if err != nil {
		return "", nil, missing(err)
	}
	return sealedCopy(b)
}

func descriptorPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

func sealedCopy(b []byte) (string, func(), error) {
	fd, err := unix.MemfdCreate(LauncherName, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 every one is executable
		fd, err = unix.MemfdCreate(LauncherName, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return "", nil, &SetupError{Step: "copy the launcher", Detail: err.Error(), cause: err}
	}
	f := os.NewFile(uintptr(fd), LauncherName)
	_, err = f.Write(b)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		f.Close()
		return "", nil, &SetupError{Step: "copy the launcher", Detail: err.Error(), cause: err}
	}
	return descriptorPath(fd), func() { f.Close() }, nil
}
