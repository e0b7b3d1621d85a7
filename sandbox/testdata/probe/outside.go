package main

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

var probes = map[string]probe{}

func add(more map[string]probe) {
	for name, p := range more {
		probes[name] = p
	}
}

func init() {
	add(map[string]probe{
		"abstract": func(a []string) (string, error) { return connect(unixAddress("\x00" + a[0])) },
		"socket":   func(a []string) (string, error) { return connect(unixAddress(a[0] + "\x00")) },
		"tcp": func(a []string) (string, error) {
			port, _ := strconv.Atoi(a[0])
			b := make([]byte, 16)
			binary.NativeEndian.PutUint16(b, unix.AF_INET)
			binary.BigEndian.PutUint16(b[2:], uint16(port))
			copy(b[4:], []byte{127, 0, 0, 1})
			return connect(b)
		},
		"family": func(a []string) (string, error) {
			n, _ := strconv.Atoi(a[0])
			kind, _ := strconv.Atoi(a[1])
			proto, _ := strconv.Atoi(a[2])
			_, e := call(unix.SYS_SOCKET, n, kind, proto)
			switch e {
			case syscall.EAFNOSUPPORT, syscall.EPERM, syscall.EACCES, syscall.ENOSYS:
				return "", e
			}
			return fmt.Sprintf("the kernel made it (%v)", e), nil
		},
		"type": func([]string) (string, error) {
			_, e := call(unix.SYS_IOCTL, 0, unix.TIOCSTI, []byte("x"))
			return done("typed into the terminal", e)
		},
		"type-wide": func([]string) (string, error) {
			_, e := call(unix.SYS_IOCTL, 0, uintptr(1<<32|unix.TIOCSTI), []byte("x"))
			return done("typed into the terminal", e)
		},
		"paste": func([]string) (string, error) {
			_, e := call(unix.SYS_IOCTL, 0, unix.TIOCLINUX, []byte{3})
			return reach(e)
		},
		"signal": func(a []string) (string, error) {
			pid, _ := strconv.Atoi(a[0])
			_, e := call(unix.SYS_KILL, pid, 0)
			return done("could send a signal", e)
		},
		"signal-group": func([]string) (string, error) {
			_, e := call(unix.SYS_KILL, 0, int(syscall.SIGWINCH))
			return done("sent a signal to its group", e) // the test looks whether it came
		},
		"shared-memory": func(a []string) (string, error) {
			key, _ := strconv.Atoi(a[0])
			_, e := call(unix.SYS_SHMGET, key, 0, 0)
			return done("found the segment of the host", e)
		},
		"queue": func(a []string) (string, error) {
			_, e := call(unix.SYS_MQ_OPEN, a[0], syscall.O_RDONLY, 0, 0)
			return done("opened the queue of the host", e)
		},
		"host-name": func(a []string) (string, error) {
			var u unix.Utsname
			_, e := call(unix.SYS_UNAME, unsafe.Pointer(&u))
			if e == 0 && unix.ByteSliceToString(u.Nodename[:]) != a[0] {
				return "", fmt.Errorf("it has another name")
			}
			return done("knows the name of the host", e)
		},
		"i386": func([]string) (string, error) {
			return inChild("made a call of the i386 kind", func() bool { return getpid386() > 0 })
		},
		"x32": func([]string) (string, error) {
			return inChild("made an x32 call", func() bool {
				_, _, e := syscall.RawSyscall(0x40000000+unix.SYS_GETPID, 0, 0, 0)
				return e == 0
			})
		},
		"devices": func([]string) (string, error) {
			for _, d := range []string{"mem", "kmsg", "vda", "sda", "fuse", "kvm", "loop-control", "mapper/control", "input/event0", "dri/card0", "net/tun", "uinput"} {
				if fd, err := open("/dev/"+d, syscall.O_RDONLY|syscall.O_NONBLOCK); err == nil {
					return fmt.Sprintf("opened /dev/%s as %d", d, fd), nil
				}
			}
			return "", fmt.Errorf("none is there")
		},
	})
}

// inChild makes a call in a process of one thread, because a filter may end it.
func inChild(what string, attack func() bool) (string, error) {
	pid, e := fork(0, func() {
		if attack() {
			syscall.RawSyscall(unix.SYS_EXIT_GROUP, 42, 0, 0)
		}
	})
	if e != 0 {
		return "", e
	}
	var ws syscall.WaitStatus
	_, _ = syscall.Wait4(pid, &ws, 0, nil)
	switch {
	case ws.Exited() && ws.ExitStatus() == 42:
		return what, nil
	case ws.Signaled():
		return "", fmt.Errorf("%v", ws.Signal())
	}
	return "", fmt.Errorf("the call failed")
}

func unixAddress(name string) []byte {
	b := make([]byte, 2, 2+len(name))
	binary.NativeEndian.PutUint16(b, unix.AF_UNIX)
	return append(b, name...)
}

// connect connects a stream to an address.
func connect(address []byte) (string, error) {
	fd, e := call(unix.SYS_SOCKET, int(binary.NativeEndian.Uint16(address)), unix.SOCK_STREAM, 0)
	if e != 0 {
		return "", e
	}
	_, e = call(unix.SYS_CONNECT, fd, address, len(address))
	return done("connected", e)
}
