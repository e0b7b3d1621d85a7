package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	add(map[string]probe{
		"unshare-user": func([]string) (string, error) {
			_, e := call(unix.SYS_UNSHARE, unix.CLONE_NEWUSER)
			if e == syscall.EINVAL { // Go has several threads, which the kernel refuses only after the wall
				return "the kernel executed it", nil
			}
			return done("made a user name space", e)
		},
		"unshare-net": func([]string) (string, error) {
			_, e := call(unix.SYS_UNSHARE, unix.CLONE_NEWNET)
			return done("made a network", e)
		},
		"unshare-cgroup": func([]string) (string, error) {
			_, e := call(unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP)
			return done("made it", e)
		},
		"clone-user": func([]string) (string, error) {
			_, e := fork(unix.CLONE_NEWUSER, func() {})
			return done("made a user name space", e)
		},
		"clone3-user": func([]string) (string, error) {
			args := make([]uint64, 11)
			args[0], args[4] = unix.CLONE_NEWUSER, uint64(syscall.SIGCHLD)
			pid, _, e := syscall.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args[0])), 88, 0)
			if e == 0 && pid == 0 {
				syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
			return done("made a user name space", e)
		},
		"uid-map": func([]string) (string, error) { return writable("/proc/self/uid_map") },
		"setns": func(a []string) (string, error) {
			fd, err := open(a[0], syscall.O_RDONLY)
			if err != nil {
				return "", err
			}
			_, e := call(unix.SYS_SETNS, fd, 0)
			return reach(e)
		},
		"ptrace": func([]string) (string, error) {
			pid, e := fork(0, sleepForever)
			if e != 0 {
				return "", e
			}
			defer syscall.Kill(pid, syscall.SIGKILL)
			_, e = call(unix.SYS_PTRACE, unix.PTRACE_ATTACH, pid, 0, 0)
			return done("traced another process", e)
		},
		"ptrace-init": func([]string) (string, error) {
			_, e := call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, 1, 0, 0)
			return done("traced init", e)
		},
		"process-vm": func([]string) (string, error) {
			b := make([]byte, 8)
			local := unix.Iovec{Base: &b[0], Len: 8}
			_, e := call(unix.SYS_PROCESS_VM_READV, os.Getpid(), unsafe.Pointer(&local), 1, unsafe.Pointer(&local), 1, 0)
			return done("read the memory of a process", e)
		},
		"pidfd-getfd": func([]string) (string, error) {
			fd, e := call(unix.SYS_PIDFD_OPEN, 1, 0)
			if e != 0 {
				return "", e
			}
			_, e = call(unix.SYS_PIDFD_GETFD, fd, 0, 0)
			return done("took a descriptor of init", e)
		},
		"pidfd-getfd-call": func([]string) (string, error) { _, e := call(unix.SYS_PIDFD_GETFD, 1000, 0, 0); return reach(e) },
		"keys-search": func(a []string) (string, error) {
			for _, ring := range []int{unix.KEY_SPEC_SESSION_KEYRING, unix.KEY_SPEC_USER_KEYRING, unix.KEY_SPEC_USER_SESSION_KEYRING} {
				if _, e := call(unix.SYS_KEYCTL, unix.KEYCTL_SEARCH, ring, "user", a[0], 0); e == 0 {
					return "found the key of the caller", nil
				} else if e != syscall.ENOKEY {
					return "", e
				}
			}
			return "", syscall.ENOKEY
		},
		"keys-add": func([]string) (string, error) {
			_, e := call(unix.SYS_ADD_KEY, "user", "probe", []byte("x"), 1, uintptr(1<<64+unix.KEY_SPEC_PROCESS_KEYRING))
			return done("added a key", e)
		},
		"bpf": func([]string) (string, error) { // a map: the simplest object
			_, e := call(unix.SYS_BPF, 0, []uint32{2, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 48)
			return reach(e)
		},
		"perf": func([]string) (string, error) {
			attr := make([]uint64, 16)
			attr[0] = 1 | 128<<32 // software, of 128 bytes
			attr[5] = 1<<5 | 1<<6 // without kernel and hypervisor
			_, e := call(unix.SYS_PERF_EVENT_OPEN, attr, 0, uintptr(1<<64-1), uintptr(1<<64-1), 0)
			return reach(e)
		},
		"userfaultfd": func([]string) (string, error) { _, e := call(unix.SYS_USERFAULTFD, 1); return reach(e) },
		"io-uring": func([]string) (string, error) {
			_, e := call(unix.SYS_IO_URING_SETUP, 4, make([]uint64, 15))
			return done("made a ring", e)
		},
		"fsopen":    func([]string) (string, error) { _, e := call(unix.SYS_FSOPEN, "tmpfs", 0); return reach(e) },
		"open-tree": func([]string) (string, error) { _, e := call(unix.SYS_OPEN_TREE, atCwd, "/tmp", 0); return reach(e) },
		"mount-setattr": func([]string) (string, error) {
			_, e := call(unix.SYS_MOUNT_SETATTR, atCwd, "/bin", 0, make([]uint64, 4), 31)
			return reach(e)
		},
		"pivot-root": func([]string) (string, error) { _, e := call(unix.SYS_PIVOT_ROOT, ".", "."); return reach(e) },
		"kexec":      func([]string) (string, error) { _, e := call(unix.SYS_KEXEC_LOAD, 0, 99, 0, 0); return reach(e) },
		"module":     func([]string) (string, error) { _, e := call(unix.SYS_FINIT_MODULE, 0, "", 0); return reach(e) },
		"syslog": func([]string) (string, error) {
			_, e := call(unix.SYS_SYSLOG, 10, 0, 0)
			return done("read the size of the kernel's log", e)
		},
		"quotactl":  func([]string) (string, error) { _, e := call(unix.SYS_QUOTACTL, 0, "/x", 0, 0); return reach(e) },
		"fanotify":  func([]string) (string, error) { _, e := call(unix.SYS_FANOTIFY_INIT, 0x200, 0); return reach(e) },
		"mempolicy": func([]string) (string, error) { _, e := call(unix.SYS_GET_MEMPOLICY, 0, 0, 0, 0, 0); return reach(e) },
		"kcmp": func([]string) (string, error) {
			_, e := call(unix.SYS_KCMP, os.Getpid(), os.Getpid(), 0, 0, 1)
			return reach(e)
		},
		"settime": func([]string) (string, error) { _, e := call(unix.SYS_CLOCK_SETTIME, 99, 0); return reach(e) },
		"hostname": func([]string) (string, error) {
			_, e := call(unix.SYS_SETHOSTNAME, "probe", 5)
			return done("set the host name", e)
		},
		"capset": capset,
		"real-time": func([]string) (string, error) {
			_, e := call(unix.SYS_SCHED_SETSCHEDULER, 0, 1, []uint32{1})
			return done("became a real-time process", e)
		},
		"personality": func([]string) (string, error) {
			_, e := call(unix.SYS_PERSONALITY, 0x0400000)
			return done("made all readable memory executable", e)
		},
		"new-privileges": func([]string) (string, error) {
			r, e := call(unix.SYS_PRCTL, unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
			if e == 0 && r == 1 {
				return "", fmt.Errorf("no new privileges are possible")
			}
			return done("programs may gain privileges", e)
		},
		"bounding-set": func([]string) (string, error) {
			r, e := call(unix.SYS_PRCTL, unix.PR_CAPBSET_READ, unix.CAP_SYS_ADMIN, 0, 0, 0)
			if e == 0 && r == 0 {
				return "", fmt.Errorf("the bounding set is empty")
			}
			return done("programs may gain capabilities", e)
		},
		"fork-bomb": forkBomb,
		"orphan": func(a []string) (string, error) {
			_, e := fork(0, func() {
				syscall.RawSyscall(unix.SYS_SETSID, 0, 0, 0)
				sleepForever()
			})
			return done("left a process behind", e)
		},
	})
}

// capset asks for all capabilities.
func capset([]string) (string, error) {
	header := []uint32{unix.LINUX_CAPABILITY_VERSION_3, 0}
	data := []uint32{^uint32(0), ^uint32(0), 0, 0x1ff, 0x1ff, 0}
	data[0], data[1] = 1<<unix.CAP_SYS_ADMIN, 1<<unix.CAP_SYS_ADMIN
	data[3], data[4] = 0, 0
	_, e := call(unix.SYS_CAPSET, header, data)
	return done("has CAP_SYS_ADMIN", e)
}

// forkBomb starts processes until the kernel refuses, or as many as its argument.
func forkBomb(a []string) (string, error) {
	most, _ := strconv.Atoi(a[0])
	for n := range most {
		if _, e := fork(0, sleepForever); e != 0 {
			return "", fmt.Errorf("after %d processes: %w", n, e)
		}
	}
	return fmt.Sprintf("started %d processes", most), nil
}
