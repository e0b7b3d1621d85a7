package wasmrt

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startConfined starts a worker in a process group of its own. The kernel kills the worker when this process dies. Unless
// unconfined is set, the worker gets name spaces of its own, without network, shared System V IPC and host name.
// If the system does not allow these, it fails with a *WallError; if partial is set, it starts the worker without them.
func startConfined(cmd *exec.Cmd, unconfined, partial bool) error {
	if missing := kernelWalls(); len(missing) > 0 && !unconfined && !partial {
		return &WallError{missing}
	}
	var flags uintptr
	if !unconfined {
		var err error
		if flags, err = spaces(); err != nil && !partial {
			return &WallError{missingSpaces()}
		}
	}
	cmd.SysProcAttr = workerAttr(flags)
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL
	return cmd.Start()
}

// spaces returns the flags of clone for the best name spaces that a worker can get, or the error if it can get none.
// It starts a process in them whose program path lies below a file. If the error is ENOTDIR, creating the name spaces worked.
var spaces = sync.OnceValues(func() (uintptr, error) {
	exe, err := os.Executable()
	if err != nil {
		return 0, err
	}
	const alone = syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
	tries := []uintptr{alone | syscall.CLONE_NEWUSER}
	if os.Geteuid() == 0 {
		tries = []uintptr{alone, alone | syscall.CLONE_NEWUSER}
	}
	for _, flags := range tries {
		_, err = syscall.ForkExec(exe+"/none", []string{"none"}, &syscall.ProcAttr{Sys: workerAttr(flags)})
		if errors.Is(err, syscall.ENOTDIR) {
			return flags, nil
		}
	}
	return 0, err
})

func workerAttr(flags uintptr) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: flags}
	if flags&syscall.CLONE_NEWUSER != 0 {
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	}
	return a
}

// killWorker kills the process group.
func killWorker(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// exitLimit returns the error of the kernel's limit that ended a process, or nil if no limit did.
func exitLimit(st *os.ProcessState) error {
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() && ws.Signal() == syscall.SIGXCPU {
		return &LimitError{"used too much processor time"}
	}
	return nil
}

// clockTick is the unit of times in /proc; it is the same on all systems that Go supports.
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

// pipeRoom is the capacity of a pipe to or from a worker, in bytes: Linux's limit for ordinary users. A block crosses such a
// pipe in one go.
const pipeRoom = 1 << 20

// widen enlarges the buffer of a pipe. If that fails, the pipe is only slower.
func widen(pipe any) {
	f, ok := pipe.(syscall.Conn)
	if !ok {
		return
	}
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeRoom) })
	}
}
