package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

func init() {
	add(map[string]probe{
		"read":  func(a []string) (string, error) { return readFile(a[0]) },
		"write": func(a []string) (string, error) { return writable(a[0]) },
		"opath": func(a []string) (string, error) { _, err := open(a[0], 0x200000); return "a handle of it", err },
		"list": func(a []string) (string, error) {
			fd, err := open(a[0], syscall.O_RDONLY|syscall.O_DIRECTORY)
			if err != nil {
				return "", err
			}
			n, e := call(syscall.SYS_GETDENTS64, fd, make([]byte, 4096), 4096)
			if e == 0 && n <= 48 { // . and ..
				return "", fmt.Errorf("the folder is empty")
			}
			return done("listed it", e)
		},
		"create": func(a []string) (string, error) {
			_, err := open(a[0], syscall.O_CREAT|syscall.O_WRONLY)
			return "created it", err
		},
		"dotdot": func(a []string) (string, error) { return readFile(strings.Repeat("../", 40) + a[0]) },
		"chroot": chroot,
		"create-by-descriptor": func(a []string) (string, error) {
			fd, err := open(a[0], 0x200000) // O_PATH
			if err != nil {
				return "", err
			}
			_, err = open(fmt.Sprintf("/proc/self/fd/%d/new", fd), syscall.O_CREAT|syscall.O_WRONLY)
			return "created it", err
		},
		"chmod": func(a []string) (string, error) {
			_, e := call(syscall.SYS_FCHMODAT, atCwd, a[0], 0o777)
			return done("changed its mode", e)
		},
		"inherited": func([]string) (string, error) {
			for fd := 3; fd < 1024; fd++ {
				var st syscall.Stat_t
				_, e := call(syscall.SYS_FSTAT, fd, unsafe.Pointer(&st))
				to, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
				if e == 0 && !strings.HasPrefix(to, "anon_inode") { // Go's own
					return fmt.Sprintf("descriptor %d is open: %s", fd, to), nil
				}
			}
			return "", fmt.Errorf("no descriptor but 0, 1, 2 is open")
		},
		// The root folder of most file systems has the inode 2: a handle of it needs no name.
		"by-handle": func(a []string) (string, error) {
			fd, err := open(a[0], syscall.O_RDONLY)
			if err != nil {
				return "", err
			}
			got, e := call(304, fd, []uint32{8, 1, 2, 0}, syscall.O_RDONLY)
			if e != 0 {
				return "", e
			}
			in, e := call(syscall.SYS_OPENAT, got, "etc/shadow", syscall.O_RDONLY, 0)
			_ = in
			return done("opened a file of the host by its handle", e)
		},
		"handle-call": func([]string) (string, error) { _, e := call(304, 0, 0, 0); return reach(e) },
		"device-node": func(a []string) (string, error) {
			_, e := call(syscall.SYS_MKNODAT, atCwd, a[0], syscall.S_IFCHR|0o666, 1<<8|3)
			return done("made a device node", e)
		},
		"device-open": func(a []string) (string, error) {
			_, err := open(a[0], syscall.O_RDWR)
			return "opened the device", err
		},
		"set-user-id": setUserID,
		"euid":        func([]string) (string, error) { return fmt.Sprint(syscall.Geteuid()), nil },
		"environment": func(a []string) (string, error) {
			for _, e := range os.Environ() {
				if strings.Contains(e, a[0]) {
					return e, nil
				}
			}
			return "", fmt.Errorf("it is not in the environment")
		},
		// What is on the stack below the environment and the arguments.
		"mount-ro":   mountCall("", "", syscall.MS_REMOUNT|syscall.MS_BIND),
		"mount-tmp":  mountCall("tmpfs", "tmpfs", 0),
		"mount-proc": mountCall("proc", "proc", 0),
		"mount-cgroup": func(a []string) (string, error) {
			reached, err := mountCall("cgroup", "cgroup", 0)(a)
			if err != nil {
				return mountCall("cgroup2", "cgroup2", 0)(a)
			}
			return reached, err
		},
		"mount-bind": func(a []string) (string, error) {
			_, e := call(syscall.SYS_MOUNT, a[0], a[1], 0, syscall.MS_BIND|syscall.MS_REC, 0)
			return done("mounted it", e)
		},
		"umount": func(a []string) (string, error) {
			_, e := call(syscall.SYS_UMOUNT2, a[0], syscall.MNT_DETACH)
			return done("unmounted it", e)
		},
	})
}

func mountCall(source, kind string, flags int) probe {
	return func(a []string) (string, error) {
		_, e := call(syscall.SYS_MOUNT, source, a[0], kind, flags, 0)
		return done("mounted it", e)
	}
}

// chroot changes the root to a folder below, which leaves the working directory outside of it.
func chroot(a []string) (string, error) {
	call(syscall.SYS_MKDIRAT, atCwd, "/tmp/root", 0o755)
	if _, e := call(syscall.SYS_CHROOT, "/tmp/root"); e != 0 {
		return "", e
	}
	for range 40 {
		call(syscall.SYS_CHDIR, "..")
	}
	return "changed the root", nil
}

// setUserID executes a program whose file has the set-user-ID bit, and compares the users.
func setUserID(a []string) (string, error) {
	out := "/tmp/euid"
	fd, err := open(out, syscall.O_CREAT|syscall.O_RDWR|syscall.O_TRUNC)
	if err != nil {
		return "", err
	}
	pid, err := syscall.ForkExec(a[0], []string{a[0], "euid"}, &syscall.ProcAttr{Files: []uintptr{0, uintptr(fd), 2}})
	if err != nil {
		return "", err
	}
	var ws syscall.WaitStatus
	_, _ = syscall.Wait4(pid, &ws, 0, nil)
	b, _ := os.ReadFile(out)
	var now int
	_, _ = fmt.Sscanf(string(b), "ALLOWED: %d", &now)
	if now == syscall.Geteuid() {
		return "", fmt.Errorf("the program ran as the same user")
	}
	return fmt.Sprintf("became user %d", now), nil
}
