package wasmrt_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/internal/skip"
	"github.com/MordragT/nuka/wasmrt"
)

// A hostileCall is a system call with its arguments, and the error with which the filter must refuse it.
type hostileCall struct {
	what string
	nr   uintptr
	args [5]uintptr
	want syscall.Errno
}

const (
	unlisted = unix.ENOSYS // for a call outside the list
	badArgs  = unix.EPERM  // for a listed call with other arguments
)

// hostileCalls makes calls that the filter must refuse and returns those that it did not refuse.
func hostileCalls(network bool) string {
	parent, high := uintptr(os.Getppid()), uintptr(1<<32)
	thread := uintptr(unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM)
	calls := []hostileCall{
		// other programs and processes
		{"execve", unix.SYS_EXECVE, [5]uintptr{}, unlisted},
		{"execveat", unix.SYS_EXECVEAT, [5]uintptr{}, unlisted},
		{"clone a process", unix.SYS_CLONE, [5]uintptr{uintptr(syscall.SIGCHLD)}, badArgs},
		{"clone a process that shares memory", unix.SYS_CLONE, [5]uintptr{unix.CLONE_VM | unix.CLONE_VFORK}, badArgs},
		{"clone into a user name space", unix.SYS_CLONE, [5]uintptr{thread | unix.CLONE_NEWUSER}, badArgs},
		{"clone with a high bit", unix.SYS_CLONE, [5]uintptr{thread | high}, badArgs},
		{"clone3", unix.SYS_CLONE3, [5]uintptr{}, unlisted},
		{"ptrace", unix.SYS_PTRACE, [5]uintptr{}, unlisted},
		{"process_vm_readv", unix.SYS_PROCESS_VM_READV, [5]uintptr{parent}, unlisted},
		{"process_vm_writev", unix.SYS_PROCESS_VM_WRITEV, [5]uintptr{parent}, unlisted},
		{"process_madvise", unix.SYS_PROCESS_MADVISE, [5]uintptr{^uintptr(0)}, unlisted},
		{"pidfd_open", unix.SYS_PIDFD_OPEN, [5]uintptr{parent}, unlisted},
		{"pidfd_getfd", unix.SYS_PIDFD_GETFD, [5]uintptr{^uintptr(0)}, unlisted},
		{"kcmp", unix.SYS_KCMP, [5]uintptr{parent, parent}, unlisted},
		{"kill the parent", unix.SYS_KILL, [5]uintptr{parent}, badArgs},
		{"kill the group", unix.SYS_KILL, [5]uintptr{0}, badArgs},
		{"kill all", unix.SYS_KILL, [5]uintptr{^uintptr(0)}, badArgs},
		{"tgkill", unix.SYS_TGKILL, [5]uintptr{parent, parent}, badArgs},
		{"tkill", unix.SYS_TKILL, [5]uintptr{parent}, unlisted},
		{"rt_sigqueueinfo", unix.SYS_RT_SIGQUEUEINFO, [5]uintptr{parent}, unlisted},
		{"limits of the parent", unix.SYS_PRLIMIT64, [5]uintptr{parent, unix.RLIMIT_NOFILE}, badArgs},
		{"signals by fcntl", unix.SYS_FCNTL, [5]uintptr{0, unix.F_SETOWN, parent}, badArgs},
		{"leases", unix.SYS_FCNTL, [5]uintptr{0, unix.F_SETLEASE, unix.F_RDLCK}, badArgs},
		{"setpriority", unix.SYS_SETPRIORITY, [5]uintptr{0, parent}, unlisted},
		{"sched_setaffinity", unix.SYS_SCHED_SETAFFINITY, [5]uintptr{parent}, unlisted},
		// name spaces and mounts
		{"unshare", unix.SYS_UNSHARE, [5]uintptr{unix.CLONE_NEWUSER}, unlisted},
		{"setns", unix.SYS_SETNS, [5]uintptr{}, unlisted},
		{"mount", unix.SYS_MOUNT, [5]uintptr{}, unlisted},
		{"open_tree", unix.SYS_OPEN_TREE, [5]uintptr{}, unlisted},
		{"fsopen", unix.SYS_FSOPEN, [5]uintptr{}, unlisted},
		{"chroot", unix.SYS_CHROOT, [5]uintptr{}, unlisted},
		{"name_to_handle_at", unix.SYS_NAME_TO_HANDLE_AT, [5]uintptr{}, unlisted},
		{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, [5]uintptr{}, unlisted},
		// the kernel
		{"bpf", unix.SYS_BPF, [5]uintptr{}, unlisted},
		{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, [5]uintptr{}, unlisted},
		{"io_uring_setup", unix.SYS_IO_URING_SETUP, [5]uintptr{1}, unlisted},
		{"io_uring_enter", unix.SYS_IO_URING_ENTER, [5]uintptr{}, unlisted},
		{"userfaultfd", unix.SYS_USERFAULTFD, [5]uintptr{}, unlisted},
		{"keyctl", unix.SYS_KEYCTL, [5]uintptr{}, unlisted},
		{"add_key", unix.SYS_ADD_KEY, [5]uintptr{}, unlisted},
		{"personality", unix.SYS_PERSONALITY, [5]uintptr{0xffffffff}, unlisted},
		{"prctl dumpable", unix.SYS_PRCTL, [5]uintptr{unix.PR_SET_DUMPABLE, 1}, badArgs},
		{"prctl ptracer", unix.SYS_PRCTL, [5]uintptr{unix.PR_SET_PTRACER, parent}, badArgs},
		{"seccomp", unix.SYS_SECCOMP, [5]uintptr{}, unlisted},
		{"a number of the future", 1000, [5]uintptr{}, unlisted},
		// files that Landlock does not protect
		{"chmod by path", unix.SYS_FCHMODAT, [5]uintptr{}, unlisted},
		{"chmod by path, newer", unix.SYS_FCHMODAT2, [5]uintptr{}, unlisted},
		{"times by path", unix.SYS_UTIMENSAT, [5]uintptr{}, unlisted},
		{"chown", unix.SYS_FCHOWNAT, [5]uintptr{}, unlisted},
		{"setxattr", unix.SYS_SETXATTR, [5]uintptr{}, unlisted},
		{"truncate by path", unix.SYS_TRUNCATE, [5]uintptr{}, unlisted},
		{"mknod", unix.SYS_MKNODAT, [5]uintptr{}, unlisted},
		{"openat2", unix.SYS_OPENAT2, [5]uintptr{}, unlisted},
		// terminals
		{"typing", unix.SYS_IOCTL, [5]uintptr{0, unix.TIOCSTI}, badArgs},
		{"typing, with a high bit", unix.SYS_IOCTL, [5]uintptr{0, unix.TIOCSTI | high}, badArgs},
		{"console", unix.SYS_IOCTL, [5]uintptr{0, unix.TIOCLINUX}, badArgs},
		// memory both writable and executable
		{"mmap rwx", unix.SYS_MMAP, [5]uintptr{0, 4096, unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC, unix.MAP_PRIVATE | unix.MAP_ANON, ^uintptr(0)}, badArgs},
		{"mmap rx", unix.SYS_MMAP, [5]uintptr{0, 4096, unix.PROT_READ | unix.PROT_EXEC, unix.MAP_PRIVATE | unix.MAP_ANON, ^uintptr(0)}, badArgs},
		{"mprotect rwx", unix.SYS_MPROTECT, [5]uintptr{0, 0, unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC}, badArgs},
		{"pkey_mprotect", unix.SYS_PKEY_MPROTECT, [5]uintptr{0, 0, unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC, ^uintptr(0)}, unlisted},
		// ways into other builds
		{"shmget", unix.SYS_SHMGET, [5]uintptr{unix.IPC_PRIVATE, 4096, 0o1600}, unlisted},
		{"msgget", unix.SYS_MSGGET, [5]uintptr{unix.IPC_PRIVATE}, unlisted},
		{"semget", unix.SYS_SEMGET, [5]uintptr{unix.IPC_PRIVATE, 1}, unlisted},
		{"mq_open", unix.SYS_MQ_OPEN, [5]uintptr{}, unlisted},
		{"memfd_create", unix.SYS_MEMFD_CREATE, [5]uintptr{}, unlisted},
		{"socketpair", unix.SYS_SOCKETPAIR, [5]uintptr{unix.AF_UNIX, unix.SOCK_STREAM}, unlisted},
	}
	answer := unlisted // for calls that a net daemon may make with other arguments
	if network {
		answer = badArgs
	}
	calls = append(calls,
		hostileCall{"socket unix", unix.SYS_SOCKET, [5]uintptr{unix.AF_UNIX, unix.SOCK_STREAM}, answer},
		hostileCall{"socket unix, with a high bit", unix.SYS_SOCKET, [5]uintptr{unix.AF_UNIX | high, unix.SOCK_STREAM}, answer},
		hostileCall{"socket raw", unix.SYS_SOCKET, [5]uintptr{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, answer},
		hostileCall{"socket packet", unix.SYS_SOCKET, [5]uintptr{unix.AF_PACKET, unix.SOCK_RAW}, answer},
		hostileCall{"socket vsock", unix.SYS_SOCKET, [5]uintptr{unix.AF_VSOCK, unix.SOCK_STREAM}, answer},
		hostileCall{"socket alg", unix.SYS_SOCKET, [5]uintptr{unix.AF_ALG, unix.SOCK_SEQPACKET}, answer},
		hostileCall{"socket netfilter", unix.SYS_SOCKET, [5]uintptr{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, answer},
		hostileCall{"a filter of packets", unix.SYS_SETSOCKOPT, [5]uintptr{0, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER}, answer},
	)
	if !network {
		for name, nr := range map[string]uintptr{
			"connect": unix.SYS_CONNECT, "bind": unix.SYS_BIND, "sendmsg": unix.SYS_SENDMSG, "sendto": unix.SYS_SENDTO,
			"recvmsg": unix.SYS_RECVMSG, "sendmmsg": unix.SYS_SENDMMSG, "accept4": unix.SYS_ACCEPT4, "listen": unix.SYS_LISTEN,
		} {
			calls = append(calls, hostileCall{name, nr, [5]uintptr{^uintptr(0)}, unlisted})
		}
		calls = append(calls, hostileCall{"socket inet", unix.SYS_SOCKET, [5]uintptr{unix.AF_INET, unix.SOCK_STREAM}, unlisted})
	}
	var open []string
	for _, c := range calls {
		if _, _, e := syscall.RawSyscall6(c.nr, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], 0); e != c.want {
			open = append(open, fmt.Sprintf("%s: %d, want %d", c.what, int(e), int(c.want)))
		}
	}
	return "open: " + strings.Join(open, ", ")
}

// rawCall makes one call with zero arguments and returns its result.
func rawCall(nr uintptr) string {
	if _, _, e := syscall.RawSyscall(nr, 0, 0, 0); e != 0 {
		return e.Error()
	}
	return "ok"
}

// openSockets lists the sockets among this process's descriptors.
func openSockets() string {
	var out []string
	for fd := range 1024 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK {
			out = append(out, strconv.Itoa(fd))
		}
	}
	return "sockets: " + strings.Join(out, " ")
}

// TestCallsAreRefused makes an attacker's calls, by their numbers, in a build worker and in a worker with the network.
func TestCallsAreRefused(t *testing.T) {
	needWalls(t)
	for name, c := range map[string]*wasmrt.WorkerCommand{"build": {}, "network": {Network: true}} {
		t.Run(name, func(t *testing.T) {
			w := spawn(t, c)
			if got := ask(t, w, "calls "+name); got != "open: " {
				t.Errorf("calls that were not refused: %s", got)
			}
			for _, msg := range []string{"threads", "work"} {
				if got := ask(t, w, msg); got != "ok" {
					t.Errorf("%s: got %q", msg, got)
				}
			}
		})
	}
	// Without a filter the same call answers differently, or not at all. This shows that the test tests the filter.
	if got := ask(t, spawn(t, &wasmrt.WorkerCommand{Unconfined: true}), "call "+strconv.Itoa(unix.SYS_SOCKETPAIR)); got == unlisted.Error() {
		t.Errorf("unconfined: got %q", got)
	}
}

// TestForeignEntriesKill checks that a call through the entry for another kind of program kills the worker: these entries use
// other numbers, so the list does not apply to them. The test's own worker makes the x32 calls. For int 0x80, the worker
// is a separate program that contains the instruction.
func TestForeignEntriesKill(t *testing.T) {
	needWalls(t)
	if runtime.GOARCH != "amd64" {
		t.Skip("only amd64 has several entries for one process")
	}
	killed := func(t *testing.T, w *wasmrt.Worker, msg string) {
		t.Helper()
		if err := w.Send([]byte(msg)); err != nil {
			t.Fatal(err)
		}
		if answer, err := w.Recv(); err == nil {
			t.Errorf("%s: the call was made, got %s", msg, answer)
			return
		}
		if err := w.Wait(); err == nil || !strings.Contains(err.Error(), syscall.SIGSYS.String()) {
			t.Errorf("%s: got %v, want an end by SIGSYS", msg, err)
		}
	}
	for _, network := range []bool{false, true} {
		for what, nr := range map[string]uint64{"x32 socket": 0x40000000 + unix.SYS_SOCKET, "x32 getpid": 0x40000000 + unix.SYS_GETPID, "minus one": 0xffffffff} {
			t.Run(fmt.Sprintf("%s/%v", what, network), func(t *testing.T) {
				killed(t, spawn(t, &wasmrt.WorkerCommand{Network: network}), fmt.Sprintf("call %d", nr))
			})
		}
	}
	program := filepath.Join(t.TempDir(), "int80")
	build := exec.Command("go", "build", "-o", program, "./testdata/int80")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the attacker: %v\n%s", err, out)
	}
	const socket, connect, getpid = 359, 362, 20 // numbers for 32-bit programs
	free := spawn(t, &wasmrt.WorkerCommand{Path: program, Unconfined: true})
	if got := ask(t, free, fmt.Sprint(getpid, 0, 0, 0)); got != strconv.Itoa(free.Pid()) {
		skip.Wall(t, "this kernel has no entry for 32-bit programs: ", got)
	}
	for _, network := range []bool{false, true} {
		for what, msg := range map[string]string{
			"getpid": fmt.Sprint(getpid, 0, 0, 0), "socket unix": fmt.Sprint(socket, unix.AF_UNIX, unix.SOCK_STREAM, 0), "connect": fmt.Sprint(connect, 0, 0, 0),
		} {
			t.Run(fmt.Sprintf("int80 %s/%v", what, network), func(t *testing.T) {
				killed(t, spawn(t, &wasmrt.WorkerCommand{Path: program, Network: network}), msg)
			})
		}
	}
}

// TestInheritedSocketsAreClosed checks that a worker inherits no socket that this process holds without close-on-exec:
// it would be a way out.
func TestInheritedSocketsAreClosed(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	for _, c := range []*wasmrt.WorkerCommand{{Partial: true}, {Network: true, Partial: true}} {
		if got := ask(t, spawn(t, c), "sockets"); got != "sockets: " {
			t.Errorf("network %v: a worker has %s", c.Network, got)
		}
	}
}

// TestSocketsOfThisMachine tries this machine's sockets, by path and by abstract name, and the parent's files through /proc.
func TestSocketsOfThisMachine(t *testing.T) {
	needWalls(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "sock")
	abstract := fmt.Sprintf("@nuka-test-%d", os.Getpid())
	for _, name := range []string{path, abstract} {
		l, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	ask := func(c *wasmrt.WorkerCommand, msg string) (refused bool) {
		t.Helper()
		return strings.HasPrefix(ask(t, spawn(t, c), msg), "error: ")
	}
	parent := fmt.Sprintf("read /proc/%d/", os.Getpid())
	for _, msg := range []string{"dial unix " + path, "dial unix " + abstract, parent + "root/etc/passwd", parent + "environ", parent + "mem", parent + "fd/0"} {
		for _, network := range []bool{false, true} {
			if !ask(&wasmrt.WorkerCommand{ReadWrite: []string{dir}, Network: network}, msg) {
				t.Errorf("%s, network %v: not refused", msg, network)
			}
		}
	}
	for _, name := range []string{path, abstract} {
		if ask(&wasmrt.WorkerCommand{Unconfined: true}, "dial unix "+name) {
			t.Errorf("unconfined, %s: refused", name)
		}
	}
}
