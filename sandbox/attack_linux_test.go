package sandbox_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/sandbox"
)

// A host is what attackers look for outside of the sandbox.
type host struct {
	dir      string // a folder with the file secret and the sockets
	granted  string // a folder that is granted, writable
	readOnly string // a folder that is granted, read-only
	secret   string // the file
	socket   string // a socket of the file system, as those of nuka's daemon and of D-Bus
	abstract string // the name of an abstract socket
	port     string // a TCP port of loopback
	name     string // the name of the machine
	queue    string // a POSIX message queue
	segment  string // the key of a System V shared memory segment
	pid      string // a process of the same user
	key      string // a key of the session keyring
}

const secretText = "the secret of the host"

// newHost makes what attackers look for, as the user who runs the tests.
func newHost(t *testing.T) *host {
	t.Helper()
	dir := folder(t)
	h := &host{dir: dir, granted: filepath.Join(dir, "granted"), readOnly: filepath.Join(dir, "ro"), secret: filepath.Join(dir, "secret"), socket: filepath.Join(dir, "control.sock"), pid: strconv.Itoa(os.Getpid())}
	for _, d := range []string{h.granted, h.readOnly} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for f, text := range map[string]string{h.secret: secretText, filepath.Join(h.readOnly, "file"): "x", filepath.Join(h.granted, "file"): "x"} {
		if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"up": "../secret", "absolute": h.secret, "proc": "/proc/1/root" + h.secret} {
		if err := os.Symlink(to, filepath.Join(h.granted, link)); err != nil {
			t.Fatal(err)
		}
	}
	h.abstract = fmt.Sprintf("nuka-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	h.name, _ = os.Hostname()
	listen := func(network, address string) net.Listener {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	listen("unix", h.socket)
	listen("unix", "@"+h.abstract)
	_, h.port, _ = net.SplitHostPort(listen("tcp", "127.0.0.1:0").Addr().String())

	h.queue = fmt.Sprintf("nuka-test-%d", os.Getpid())
	name := append([]byte(h.queue), 0)
	if fd, _, e := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(&name[0])), unix.O_CREAT|unix.O_RDWR, 0o600, 0, 0, 0); e == 0 {
		t.Cleanup(func() {
			_, _, _ = unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(&name[0])), 0, 0)
			unix.Close(int(fd))
		})
	} else {
		t.Fatal("mq_open: ", e)
	}
	key := 0x6e000000 | os.Getpid()
	id, err := unix.SysvShmGet(key, 4096, unix.IPC_CREAT|0o600)
	if err != nil {
		t.Fatal("shmget: ", err)
	}
	t.Cleanup(func() { _, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) })
	h.segment = strconv.Itoa(key)
	h.key = sessionKey
	return h
}

// folder returns a new folder that every user can pass through. Its path has no link.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nuka-box-") //nolint:usetesting // t.TempDir is only for the user of the test
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// box returns the sandbox of the attackers: the probe, a writable and a read-only folder.
func (h *host) box() *sandbox.Spec {
	return box(sandbox.Mount{Kind: sandbox.RW, Source: h.granted, Target: "/granted"}, sandbox.Mount{Kind: sandbox.RO, Source: h.readOnly, Target: "/ro"})
}

// An attack is a probe with its arguments.
type attack struct {
	name string // of the row in docs/hostile.md and docs/sandbox.md
	args []string
}

func probeOf(name string, args ...string) attack {
	return attack{strings.Join(append([]string{name}, args...), " "), append([]string{name}, args...)}
}

// attacks returns the attacks that need nothing but the box.
func (h *host) attacks() []attack {
	out := []attack{
		{"read a file of the host by its path", []string{"read", h.secret}},
		{"read a file of the host with many ..", []string{"dotdot", h.secret}},
		{"read a file of the host through init's root", []string{"read", "/proc/1/root" + h.secret}},
		{"read a file of the host through init's working folder", []string{"list", "/proc/1/cwd"}},
		{"read a file of the host over a relative link in a granted folder", []string{"read", "/granted/up"}},
		{"read a file of the host over an absolute link in a granted folder", []string{"read", "/granted/absolute"}},
		{"read a file of the host over a link to /proc/1/root", []string{"read", "/granted/proc"}},
		{"read a process of the host in /proc", []string{"read", "/proc/" + h.pid + "/environ"}},
		{"signal a process of the host", []string{"signal", h.pid}},
		{"know the name of the host", []string{"host-name", h.name}},
		{"read a variable of the caller", []string{"environment", "NUKA_SANDBOX_SECRET"}},
		{"connect to an abstract socket of the host", []string{"abstract", h.abstract}},
		{"connect to a socket of the daemon or of D-Bus", []string{"socket", h.socket}},
		{"connect to loopback of the host", []string{"tcp", h.port}},
		{"find shared memory of the host", []string{"shared-memory", h.segment}},
		{"open a message queue of the host", []string{"queue", h.queue}},
		{"find a key of the caller's session or user", []string{"keys-search", h.key}},
		{"list /sys", []string{"list", "/sys"}},
		{"use an inherited descriptor", []string{"inherited"}},
		{"open devices of the machine", []string{"devices"}},
	}
	for _, p := range []string{"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/user/max_user_namespaces", "/proc/irq/default_smp_affinity", "/proc/pressure/cpu"} {
		out = append(out, probeOf("write", p))
	}
	for _, p := range []string{"/proc/keys", "/proc/key-users", "/proc/kallsyms", "/proc/timer_list", "/proc/interrupts", "/proc/1/environ", "/proc/1/mem", "/proc/1/maps"} {
		out = append(out, probeOf("read", p))
	}
	for _, p := range []string{"/ro/new", "/bin/new", "/new", "/dev/new", "/proc/new"} {
		out = append(out, probeOf("create", p))
	}
	for _, p := range []string{"exe", "fd/3", "ns/mnt"} {
		out = append(out, probeOf("opath", "/proc/1/"+p))
	}
	out = append(out, probeOf("write", "/ro/file"), probeOf("create-by-descriptor", "/ro"), probeOf("chmod", "/ro/file"),
		probeOf("by-handle", "/granted"), probeOf("handle-call"), probeOf("device-node", "/granted/null"), probeOf("device-node", "/tmp/null"), probeOf("chroot"),
		probeOf("mount-ro", "/ro"), probeOf("mount-tmp", "/tmp"), probeOf("mount-proc", "/tmp"), probeOf("mount-cgroup", "/tmp"), probeOf("mount-bind", "/proc", "/tmp"), probeOf("umount", "/proc/keys"),
		probeOf("setns", "/proc/self/ns/mnt"), probeOf("setns", "/proc/1/ns/mnt"), probeOf("uid-map"))
	for _, n := range []string{"unshare-user", "unshare-net", "unshare-cgroup", "clone-user", "clone3-user", "ptrace", "ptrace-init", "process-vm", "pidfd-getfd", "pidfd-getfd-call", "keys-add",
		"bpf", "perf", "userfaultfd", "io-uring", "fsopen", "open-tree", "mount-setattr", "pivot-root", "kexec", "module", "syslog", "quotactl", "fanotify", "mempolicy", "kcmp", "settime",
		"hostname", "capset", "real-time", "personality", "new-privileges", "bounding-set", "x32"} {
		out = append(out, probeOf(n))
	}
	for _, f := range []struct {
		name                string
		family, kind, proto int
	}{
		{"packets", unix.AF_PACKET, unix.SOCK_RAW, 0x300}, {"virtual machines", unix.AF_VSOCK, unix.SOCK_STREAM, 0}, {"the kernel's crypto", unix.AF_ALG, unix.SOCK_SEQPACKET, 0},
		{"netfilter", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, {"device events", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT},
		{"audit", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT}, {"bluetooth", unix.AF_BLUETOOTH, unix.SOCK_RAW, 0}, {"CAN", unix.AF_CAN, unix.SOCK_RAW, 1},
		{"raw ICMP", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
	} {
		out = append(out, attack{"socket for " + f.name, []string{"family", strconv.Itoa(f.family), strconv.Itoa(f.kind), strconv.Itoa(f.proto)}})
	}
	return out
}

// TestAttacks runs each attack in a sandbox. TestMutations shows that each succeeds without its defence.
func TestAttacks(t *testing.T) {
	needSpaces(t)
	t.Setenv("NUKA_SANDBOX_SECRET", "1")
	h := newHost(t)
	leaked, err := unix.Open(h.secret, unix.O_RDONLY, 0) // without O_CLOEXEC, as a careless caller of nuka leaves it
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leaked)
	for _, a := range h.attacks() {
		t.Run(a.name, func(t *testing.T) {
			r := mustRun(t, h.box(), append([]string{"probe"}, a.args...)...)
			denied(t, r)
		})
	}
	if b, err := os.ReadFile(filepath.Join(h.readOnly, "new")); err == nil {
		t.Errorf("the read-only folder has a new file: %q", b)
	}
}

// denied checks that a probe was denied what it tried.
func denied(t *testing.T, r result) {
	t.Helper()
	if !strings.HasPrefix(r.out, "denied: ") {
		t.Errorf("got %q, code %d, stderr %q", r.out, r.Code, r.err)
	}
}

// allowed checks that a probe reached what it tried.
func allowed(t *testing.T, r result) {
	t.Helper()
	if !strings.HasPrefix(r.out, "ALLOWED: ") {
		t.Errorf("got %q, code %d, stderr %q", r.out, r.Code, r.err)
	}
}

// TestProbes checks that the probes find a way where there is one: outside of a sandbox.
func TestProbes(t *testing.T) {
	h := newHost(t)
	t.Setenv("NUKA_SANDBOX_SECRET", "1")
	for _, args := range [][]string{{"read", h.secret}, {"dotdot", h.secret}, {"list", "/sys"}, {"read", "/proc/" + h.pid + "/environ"}, {"environment", "NUKA_SANDBOX_SECRET"}, {"abstract", h.abstract},
		{"socket", h.socket}, {"tcp", h.port}, {"shared-memory", h.segment}, {"queue", h.queue}, {"keys-search", h.key}, {"signal", h.pid}, {"host-name", h.name}, {"ptrace"}, {"process-vm"},
		{"io-uring"}, {"bpf"}, {"userfaultfd"}, {"clone-user"}, {"clone3-user"}, {"keys-add"}, {"i386"}, {"read", "/proc/key-users"}, {"create", filepath.Join(h.granted, "probe")}} {
		out, err := exec.Command(filepath.Join(bin, "probe"), args...).Output()
		if err != nil || !strings.HasPrefix(string(out), "ALLOWED: ") {
			if args[0] == "bpf" && os.Geteuid() != 0 || args[0] == "i386" && strings.HasPrefix(string(out), "denied") {
				continue // the machine forbids it
			}
			t.Errorf("%v: got %q, %v", args, out, err)
		}
	}
}

// TestForeignCalls checks that a call of another architecture ends the process.
func TestForeignCalls(t *testing.T) {
	needSpaces(t)
	r := mustRun(t, box(), "probe", "i386")
	denied(t, r)
	if want := "bad system call"; !strings.Contains(r.out, want) {
		t.Errorf("got %q, want %q", r.out, want)
	}
}

// TestSignalGroup checks that a program cannot signal its process group outside, which is the caller's.
func TestSignalGroup(t *testing.T) {
	needSpaces(t)
	got := make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGWINCH)
	defer signal.Stop(got)
	mustRun(t, box(), "probe", "signal-group")
	select {
	case <-got:
		t.Error("the caller got the program's signal")
	case <-time.After(50 * time.Millisecond):
	}
}
