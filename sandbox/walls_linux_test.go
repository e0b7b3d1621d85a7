package sandbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/sandbox"
)

// TestLauncherFile checks that nothing inside gets hold of the launcher's file on the host (CVE-2019-5736): neither as the program,
// nor as the interpreter of a script.
func TestLauncherFile(t *testing.T) {
	needSpaces(t)
	dir := folder(t)
	if err := os.WriteFile(filepath.Join(dir, "script"), []byte("#!/proc/self/exe\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"/proc/self/exe", "/granted/script"} {
		s := box(sandbox.Mount{Kind: sandbox.RW, Source: dir, Target: "/granted"})
		s.Argv = []string{program}
		_, err := run(t, t.Context(), s, sandbox.Options{})
		var setup *sandbox.SetupError
		if !errors.As(err, &setup) || setup.Step != sandbox.StepProgram || !errors.Is(err, unix.EACCES) {
			t.Errorf("%s: got %v", program, err)
		}
	}
}

// TestLauncherOfAnother checks that root can start a launcher in a folder that only another user may enter.
func TestLauncherOfAnother(t *testing.T) {
	needSpaces(t)
	if os.Geteuid() != 0 {
		t.Skip("only root enters folders of other users")
	}
	dir := folder(t)
	b, err := os.ReadFile(launcher())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, sandbox.LauncherName)
	if err := errors.Join(os.WriteFile(file, b, 0o755), os.Chown(dir, ordinary, ordinary), os.Chmod(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	s := system()
	s.Argv = []string{"true"}
	if st, err := sandbox.Run(t.Context(), file, s, nil); err != nil || st.Code != 0 {
		t.Errorf("got %+v, %v", st, err)
	}
}

// TestSetUserID checks that a file with the set-user-ID bit gives no rights, even if root granted it.
func TestSetUserID(t *testing.T) {
	needSpaces(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can make such a file of another user")
	}
	dir := folder(t)
	b, err := os.ReadFile(filepath.Join(bin, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "probe")
	if err := errors.Join(os.WriteFile(file, b, 0o755), os.Chown(file, ordinary, 0), os.Chmod(file, 0o755|os.ModeSetuid)); err != nil {
		t.Fatal(err)
	}
	denied(t, mustRun(t, box(sandbox.Mount{Kind: sandbox.RW, Source: dir, Target: "/granted"}), "probe", "set-user-id", "/granted/probe"))
}

// TestDeviceInFolder checks that device nodes in granted folders cannot be opened, and that a granted device can.
func TestDeviceInFolder(t *testing.T) {
	needSpaces(t)
	if os.Geteuid() == 0 {
		dir := folder(t)
		if err := unix.Mknod(filepath.Join(dir, "zero"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []sandbox.Kind{sandbox.RO, sandbox.RW} {
			denied(t, mustRun(t, box(sandbox.Mount{Kind: kind, Source: dir, Target: "/granted"}), "probe", "device-open", "/granted/zero"))
		}
	}
	allowed(t, mustRun(t, box(sandbox.Mount{Kind: sandbox.Device, Source: "/dev/zero", Target: "/dev2/zero"}), "probe", "device-open", "/dev2/zero"))
}

// TestHostNetwork checks what a program with the network of the host reaches.
func TestHostNetwork(t *testing.T) {
	needSpaces(t)
	h := newHost(t)
	s := h.box()
	s.Net = sandbox.NetHost
	allowed(t, mustRun(t, s, "probe", "tcp", h.port))
	for _, a := range [][]string{{"abstract", h.abstract}, {"socket", h.socket}, {"queue", h.queue}, {"shared-memory", h.segment},
		{"family", strconv.Itoa(unix.AF_PACKET), strconv.Itoa(unix.SOCK_RAW), "0"}, {"family", strconv.Itoa(unix.AF_NETLINK), strconv.Itoa(unix.SOCK_RAW), "12"}} {
		denied(t, mustRun(t, s, append([]string{"probe"}, a...)...))
	}
}

// TestLoopback checks that a network of its own has a loopback interface.
func TestLoopback(t *testing.T) {
	needSpaces(t)
	r := mustRun(t, system(), "bash", "-c", "exec 2>&1; (echo > /dev/tcp/127.0.0.1/9); true")
	if !strings.Contains(r.out, "refused") {
		t.Errorf("got %q, want a refused connection", r.out)
	}
}

// TestProcesses checks that a fork bomb stops at the limit, and that the sandbox ends with all its processes.
func TestProcesses(t *testing.T) {
	needSpaces(t)
	s := box()
	s.Limits.Processes = 40
	s.Argv = []string{"probe", "fork-bomb", "600"}
	p, err := sandbox.Start(t.Context(), launcher(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("held by %+v", p.Held())
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	r := mustRun(t, s, "probe", "fork-bomb", "600")
	denied(t, r)
	// Programs one after the other are no bomb, however many.
	r = mustRun(t, func() *sandbox.Spec { s := system(); s.Limits.Processes = 40; return s }(), "sh", "-c", "i=0; while [ $i -lt 500 ]; do /usr/bin/true || exit 9; i=$((i+1)); done; echo all")
	if r.out != "all\n" {
		t.Errorf("500 programs in turn: %+v", r)
	}
}

// TestMemory checks that a program cannot use more memory than its limit.
func TestMemory(t *testing.T) {
	needSpaces(t)
	s := system()
	s.Limits.Memory = 64 << 20
	r := mustRun(t, s, "python3", "-c", "b = bytearray(256 << 20)\nfor i in range(0, len(b), 4096): b[i] = 1\nprint('used')")
	if strings.Contains(r.out, "used") {
		t.Errorf("it used 256 MiB: %+v", r)
	}
	s = system()
	s.Limits = sandbox.Limits{Memory: 256 << 20, CPUs: 1}
	if r := mustRun(t, s, "python3", "-c", "import os; print(len(os.sched_getaffinity(0)))"); r.out != "1\n" && os.Geteuid() != 0 {
		t.Errorf("processors: %+v", r)
	}
}

// TestGroupsRemoved checks that the control groups of a sandbox are removed.
func TestGroupsRemoved(t *testing.T) {
	needSpaces(t)
	s := box()
	s.Limits = sandbox.Limits{Memory: 1 << 30, Processes: 100, CPUs: 1}
	s.Argv = []string{"probe", "orphan"}
	p, err := sandbox.Start(t.Context(), launcher(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("nuka-%d", p.Pid())
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == name {
			t.Errorf("%s is left", p)
		}
		return nil
	})
}

// TestIdentity checks user, group, host name, umask, clock and environment inside.
func TestIdentity(t *testing.T) {
	needSpaces(t)
	number := func(n int) *int { return &n }
	s := system()
	s.UID, s.GID, s.Umask, s.Host = number(4711), number(42), number(0o27), "elsewhere"
	s.Clock = &sandbox.Clock{Monotonic: 1_000_000_000, Boottime: 2_000_000_000}
	s.Env = []string{"PATH=/usr/bin", "A=1"}
	s.Dir = "/tmp"
	r := mustRun(t, s, "sh", "-c", "id -u; id -g; umask; uname -n; pwd; cut -c1-2 /proc/uptime; env | sort")
	if want := "4711\n42\n0027\nelsewhere\n/tmp\n20\nA=1\nPATH=/usr/bin\nPWD=/tmp\n"; r.out != want && r.out != strings.Replace(want, "\nPWD", "\nOLDPWD=/tmp\nPWD", 1) {
		t.Errorf("got %q, want %q; stderr %q", r.out, want, r.err)
	}
	s.Dir = "/none"
	if _, err := run(t, t.Context(), s, sandbox.Options{}); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a missing working folder: got %v", err)
	}
}

// TestCheck checks the report for nuka doctor, on a machine that can make sandboxes.
func TestCheck(t *testing.T) {
	needSpaces(t)
	list := sandbox.Check(t.Context(), launcher())
	for _, f := range list {
		t.Logf("%+v", f)
		if !f.OK && (f.Hint == "" || f.What == "sandbox of foreign programs") {
			t.Errorf("%+v", f)
		}
	}
	if list := sandbox.Check(t.Context(), "/none"); list[0].OK {
		t.Errorf("without a launcher: %+v", list[0])
	}
}

// TestForbidden runs callers where user name spaces are forbidden, and checks that the error says what forbids them; and that
// the fallback runs the program only when it is asked for.
func TestForbidden(t *testing.T) {
	needSpaces(t)
	own := func(c *exec.Cmd) { // a user name space in which the caller may change the setting
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, AmbientCaps: []uintptr{unix.CAP_SYS_RESOURCE, unix.CAP_SYS_ADMIN},
			UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}}
		c.Env = append(c.Env, "NUKA_SANDBOX_FIRST=/proc/sys/user/max_user_namespaces=0")
	}
	c := callerCommand(t, "", "true")
	own(c)
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "ForbiddenError") || !strings.Contains(string(out), "sysctl -w user.max_user_namespaces=") {
		t.Errorf("without user name spaces: got %q, %v", out, err)
	}
	c = callerCommand(t, "fallback", "sh", "-c", "echo ran; cat /etc/shadow /etc/hostname; echo x >/tmp/nuka-fallback; : </dev/tcp/127.0.0.1/9")
	own(c)
	out, err = c.CombinedOutput()
	if !strings.HasPrefix(string(out), "ran\n") || strings.Count(string(out), "ermission denied") < 3 || strings.Contains(string(out), "refused") {
		t.Errorf("fallback: got %q, %v", out, err)
	}
	if _, err := os.Lstat("/tmp/nuka-fallback"); err == nil {
		t.Error("the fallback lets programs write to /tmp")
		os.Remove("/tmp/nuka-fallback")
	}
}

// TestForbiddenInside checks a system that allows user name spaces, and then no right in them, as AppArmor does on Ubuntu.
func TestForbiddenInside(t *testing.T) {
	needSpaces(t)
	out, err := callerCommand(t, "nomount", "true").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "ForbiddenError") || !strings.Contains(string(out), "seccomp=unconfined") {
		t.Errorf("got %q, %v", out, err)
	}
	out, err = callerCommand(t, "nomount fallback", "sh", "-c", "echo ran").CombinedOutput()
	if err != nil || string(out) != "ran\n" {
		t.Errorf("fallback: got %q, %v", out, err)
	}
}

// TestFallbackSockets checks that the fallback keeps programs from the sockets of the host.
func TestFallbackSockets(t *testing.T) {
	needSpaces(t)
	h := newHost(t)
	for _, args := range [][]string{{"socket", h.socket}, {"abstract", h.abstract}, {"tcp", h.port}, {"read", h.secret}, {"signal", h.pid}, {"keys-search", h.key}, {"io-uring"}, {"ptrace"}, {"clone-user"}} {
		c := callerCommand(t, "nomount fallback", append([]string{filepath.Join(bin, "probe")}, args...)...)
		out, err := c.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "denied: ") {
			t.Errorf("%v: got %q, %v", args, out, err)
		}
	}
}

// TestWithoutLandlock checks that the other walls hold on a kernel without Landlock, that the sandbox says what is missing, and that
// the launcher then runs from a copy that nobody inside can write.
func TestWithoutLandlock(t *testing.T) {
	needSpaces(t)
	h := newHost(t)
	for _, args := range [][]string{{"read", h.secret}, {"dotdot", h.secret}, {"read", "/proc/1/root" + h.secret}, {"opath", "/proc/1/exe"}, {"create", "/new"}, {"create", "/dev/new"}, {"create", "/usr/new"},
		{"write", "/proc/sys/kernel/core_pattern"}, {"write", "/proc/irq/default_smp_affinity"}, {"mount-tmp", "/tmp"}, {"tcp", h.port}, {"abstract", h.abstract}, {"queue", h.queue}} {
		var stderr strings.Builder
		c := callerCommand(t, "nolandlock probe", append([]string{"probe"}, args...)...)
		c.Stderr = &stderr
		out, err := c.Output()
		if err != nil || !strings.HasPrefix(string(out), "denied: ") || !strings.Contains(stderr.String(), "missing: [Landlock") {
			t.Errorf("%v: got %q, %v, %s", args, out, err, &stderr)
		}
	}
	out, err := callerCommand(t, "nolandlock probe", "sh", "-c", "exec /proc/self/exe -c 'readlink /proc/1/exe; echo no'").CombinedOutput()
	if strings.Contains(string(out), bin) {
		t.Errorf("got %q, %v", out, err)
	}
	out, _ = callerCommand(t, "nolandlock probe", "/proc/self/exe").CombinedOutput()
	if !strings.Contains(string(out), "nuka starts this program") {
		t.Errorf("got %q", out)
	}
	out, err = callerCommand(t, "nolandlock nomount fallback", "true").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Landlock") {
		t.Errorf("a fallback without Landlock: got %q, %v", out, err)
	}
}

// TestFallbackOrphans checks that the fallback leaves no process behind.
func TestFallbackOrphans(t *testing.T) {
	needSpaces(t)
	text := mark("mark-of-fallback-")
	c := callerCommand(t, "fallback", filepath.Join(bin, "probe"), "orphan", text)
	c.Env = append(c.Env, "NUKA_SANDBOX_FIRST=/proc/sys/user/max_user_namespaces=0")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, AmbientCaps: []uintptr{unix.CAP_SYS_RESOURCE, unix.CAP_SYS_ADMIN},
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}}
	c.WaitDelay = time.Second // a process left behind would keep the output open
	out, err := c.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "ALLOWED") {
		t.Errorf("got %q, %v", out, err)
	}
	if left := alive(t, text); len(left) > 0 {
		t.Errorf("still alive: %v", left)
	}
}

// TestPrepare checks that the caller can act between the name spaces and the program.
func TestPrepare(t *testing.T) {
	needSpaces(t)
	s := system()
	s.Argv = []string{"sh", "-c", "echo ran"}
	var space string
	r, err := run(t, t.Context(), s, sandbox.Options{Prepare: func(init int) (err error) {
		space, err = os.Readlink(fmt.Sprintf("/proc/%d/ns/net", init))
		return err
	}})
	own, _ := os.Readlink("/proc/self/ns/net")
	if err != nil || r.out != "ran\n" || space == "" || space == own {
		t.Errorf("got %+v, %v, %q", r, err, space)
	}
	failed := errors.New("no network")
	if _, err := run(t, t.Context(), s, sandbox.Options{Prepare: func(int) error { return failed }}); !errors.Is(err, failed) {
		t.Errorf("got %v, want the error of Prepare", err)
	}
}

// TestOutlive checks that a sandbox can outlive its caller.
func TestOutlive(t *testing.T) {
	needSpaces(t)
	l, err := net.Listen("unix", filepath.Join(folder(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := callerCommand(t, "outlive", "sh", "-c", "echo ready; sleep 0.5; echo later")
	c.Stdout = w
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	lines := bufio.NewScanner(r)
	lines.Scan()
	_ = c.Process.Kill()
	_ = c.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	context.AfterFunc(ctx, func() { r.Close() })
	if !lines.Scan() || lines.Text() != "later" {
		t.Errorf("got %q", lines.Text())
	}
}
