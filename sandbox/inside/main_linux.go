package inside

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/sandbox"
)

func init() {
	// Landlock, the session keyring, the bounding set of capabilities and the new time name space belong to a thread.
	// The program is started by this one, and the kernel shows its files as those of the process.
	runtime.LockOSThread()
}

// exitFailed is the launcher's exit code when the set-up fails. The report has the reason.
const exitFailed = 125

// Main is the launcher's main function. It returns its exit code: that of the program, or 128 and the number of the signal that ended it.
// sandbox.Start gives it an argument for its mode; without one, a person has called it.
func Main(args []string) int {
	if len(args) > 3 && args[1] == sandbox.ModeBecome {
		return become(args[2], args[3:])
	}
	if len(args) != 2 || args[1] != sandbox.ModeSpaces && args[1] != sandbox.ModeFallback {
		fmt.Fprintln(os.Stderr, "nuka-sandbox: nuka starts this program; it is not called by hand")
		return 2
	}
	// The name that ps shows: it was executed from a descriptor, whose number would be its name.
	name := []byte(sandbox.LauncherName + "\x00")
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0)
	control := os.NewFile(sandbox.ControlFD, "control")
	spec, err := sandbox.ReadSpec(control)
	if err != nil {
		return exitFailed // the caller has ended, or sees the socket close
	}
	b := &box{spec: spec, control: control, spaces: args[1] == sandbox.ModeSpaces}
	if err := b.setUp(); err != nil {
		_ = sandbox.WriteReport(control, &sandbox.Report{Failed: asSetupError(err)})
		return exitFailed
	}
	return b.run()
}

// A box is the sandbox that this process sets up.
type box struct {
	spec     *sandbox.Spec
	control  *os.File
	spaces   bool // this process is in name spaces of its own
	started  sandbox.Started
	signals  chan os.Signal
	catching chan struct{} // closed when signals has them all
	stopped  atomic.Bool   // the program is stopped
	reports  sync.Mutex

	children *os.File // the list of this process's children, in the fallback
}

func (b *box) setUp() error {
	// What the caller's caller left open is closed first: it is no part of the sandbox.
	if err := unix.CloseRange(uint(sandbox.FirstExtraFD+b.spec.Extra), ^uint(0)>>1, 0); err != nil {
		return fail("close inherited files", "", err)
	}
	if err := b.checkDescriptors(); err != nil {
		return err
	}
	b.catchSignals()
	mask := unix.Umask(0)
	enter := b.enter
	if !b.spaces {
		enter = b.becomeReaper
	}
	if err := enter(); err != nil {
		return err
	}
	if b.spec.Umask != nil {
		mask = *b.spec.Umask
	}
	unix.Umask(mask)
	dir := b.spec.Dir
	if dir == "" {
		dir = "/"
	}
	if err := unix.Chdir(dir); err != nil {
		return failHint("enter the working directory", dir, err, "grant the folder, or start in another one")
	}
	if err := b.limit(); err != nil {
		return err
	}
	return b.confine()
}

// enter builds the tree and moves this process into it, and sets up the other name spaces.
func (b *box) enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fail("separate the mounts", "/", err)
	}
	if c := b.spec.Clock; c != nil {
		if err := setClock(c); err != nil {
			return failHint("shift the clock", "", err, "a time name space needs Linux 6.0 or later, with CONFIG_TIME_NS")
		}
	}
	host := b.spec.Host
	if host == "" {
		host = "nuka"
	}
	if err := errors.Join(unix.Sethostname([]byte(host)), unix.Setdomainname([]byte("(none)"))); err != nil {
		return fail("set the host name", host, err)
	}
	if b.spec.Net == sandbox.NetNone {
		if err := loopbackUp(); err != nil {
			return fail("start the loopback network", "lo", err)
		}
		if port := b.spec.Listen; port > 0 {
			if err := sendListener(port); err != nil {
				return fail("listen inside", fmt.Sprint("127.0.0.1:", port), err)
			}
		}
	}
	return b.buildTree()
}

// checkDescriptors refuses folders as descriptors of the program: openat would start in them and leave the sandbox.
func (b *box) checkDescriptors() error {
	for fd := range sandbox.FirstExtraFD + b.spec.Extra {
		if fd == sandbox.ControlFD {
			continue
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return fail("check the descriptors of the program", fmt.Sprint(fd), err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return &sandbox.SetupError{Step: "check the descriptors of the program", Object: fmt.Sprint(fd),
				Detail: "it is a folder, which would lead out of the sandbox", Hint: "redirect it from a file"}
		}
	}
	return nil
}

// fail returns an error of a step.
func fail(step, object string, err error) error { return failHint(step, object, err, "") }

func failHint(step, object string, err error, hint string) error {
	if err == nil {
		return nil
	}
	e := &sandbox.SetupError{Step: step, Object: object, Hint: hint}
	if !errors.As(err, &e.Errno) {
		e.Detail = err.Error()
	}
	return e
}

func asSetupError(err error) *sandbox.SetupError {
	var e *sandbox.SetupError
	if errors.As(err, &e) {
		return e
	}
	e = &sandbox.SetupError{Step: "set up", Detail: err.Error()}
	errors.As(err, &e.Errno)
	return e
}

// setClock gives the processes that this thread starts from now on a time name space of their own.
// The kernel takes the offsets only before the first process is in it. Source: time_namespaces(7).
func setClock(c *sandbox.Clock) error {
	if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
		return err
	}
	text := fmt.Sprintf("monotonic %d 0\nboottime %d 0\n", c.Monotonic, c.Boottime)
	return os.WriteFile("/proc/self/timens_offsets", []byte(text), 0)
}

// sendListener makes a socket that listens in the sandbox's network, and gives it to the caller.
func sendListener(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if err := unix.Listen(fd, 128); err != nil {
		return err
	}
	return unix.Sendmsg(sandbox.ControlFD, []byte{'L'}, unix.UnixRights(fd), nil, 0)
}

// loopbackUp starts the loopback interface, which gets its addresses by itself.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// endOf returns how a process ended.
func endOf(ws syscall.WaitStatus) *sandbox.Ended {
	if ws.Signaled() {
		return &sandbox.Ended{Code: 128 + int(ws.Signal()), Signal: int(ws.Signal())}
	}
	return &sandbox.Ended{Code: ws.ExitStatus()}
}
