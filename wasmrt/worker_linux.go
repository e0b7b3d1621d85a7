package wasmrt

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startConfined starts a worker in a process group of its own, which is killed with us, and if the system allows it
// in a network namespace without any network.
func startConfined(cmd *exec.Cmd, unconfined bool) error {
	attr := func(flags uintptr) *syscall.SysProcAttr {
		a := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: flags}
		if flags&syscall.CLONE_NEWUSER != 0 {
			a.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
			a.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
		}
		return a
	}
	var tries []uintptr
	if !unconfined {
		const alone = syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
		if os.Geteuid() == 0 {
			tries = append(tries, alone)
		}
		tries = append(tries, alone|syscall.CLONE_NEWUSER)
	}
	var err error
	for _, flags := range append(tries, 0) {
		try := *cmd // a Cmd cannot be started twice
		try.SysProcAttr = attr(flags)
		if err = try.Start(); err == nil {
			*cmd = try
			return nil
		}
		if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.ENOSYS) {
			return err
		}
	}
	return err
}

// killWorker kills the process group.
func killWorker(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// exitLimit tells a limit of the kernel's from another end.
func exitLimit(st *os.ProcessState) error {
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() && ws.Signal() == syscall.SIGXCPU {
		return &LimitError{"used too much processor time"}
	}
	return nil
}

// clockTick is the unit of times in /proc, the same on all systems Go runs on.
const clockTick = time.Second / 100

// usage returns the processor time and the resident memory of a process.
func usage(pid int) (cpu time.Duration, rss int64, ok bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, false
	}
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return 0, 0, false
	}
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 22 {
		return 0, 0, false
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	pages, err3 := strconv.ParseInt(f[21], 10, 64)
	return time.Duration(user+system) * clockTick, pages * int64(os.Getpagesize()), err1 == nil && err2 == nil && err3 == nil
}

// pipeRoom is how much a pipe to or from a worker holds, so that a block crosses it in one go: what Linux gives anybody.
const pipeRoom = 1 << 20

// widen makes a pipe hold more. With less it is only slower.
func widen(pipe any) {
	f, ok := pipe.(syscall.Conn)
	if !ok {
		return
	}
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeRoom) })
	}
}
