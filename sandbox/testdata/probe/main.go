// Probe is an attacker's program: each of its probes tries one way out of a sandbox, with system calls of its own and not those of Go's os package.
// It prints "denied: REASON", or "ALLOWED: WHAT" if the attack succeeded or reached the code that it attacks.
package main

import (
	"fmt"
	"os"
	"sort"
	"syscall"
	"unsafe"
)

// A probe tries one attack. It returns what it reached, or the error that stopped it.
type probe func(args []string) (reached string, err error)

func main() {
	if len(os.Args) < 2 {
		var names []string
		for n := range probes {
			names = append(names, n)
		}
		sort.Strings(names)
		fmt.Println(names)
		return
	}
	p, ok := probes[os.Args[1]]
	if !ok {
		fmt.Println("ALLOWED: there is no such probe")
		return
	}
	reached, err := p(os.Args[2:])
	if err != nil {
		fmt.Println("denied:", err)
		return
	}
	fmt.Println("ALLOWED:", reached)
}

// call makes a system call.
func call(nr uintptr, args ...any) (uintptr, syscall.Errno) {
	var a [6]uintptr
	var keep [6]any
	for i, v := range args {
		switch v := v.(type) {
		case string:
			b := append([]byte(v), 0)
			keep[i], a[i] = b, uintptr(unsafe.Pointer(&b[0]))
		case []byte:
			if len(v) > 0 {
				keep[i], a[i] = v, uintptr(unsafe.Pointer(&v[0]))
			}
		case []uint64:
			keep[i], a[i] = v, uintptr(unsafe.Pointer(&v[0]))
		case []uint32:
			keep[i], a[i] = v, uintptr(unsafe.Pointer(&v[0]))
		case int:
			a[i] = uintptr(v)
		case uintptr:
			a[i] = v
		case unsafe.Pointer:
			a[i] = uintptr(v)
		default:
			panic(fmt.Sprintf("%T", v))
		}
	}
	r, _, e := syscall.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	_ = keep
	return r, e
}

const atCwd = ^uintptr(99) // AT_FDCWD, -100

func open(path string, flags int) (int, error) {
	fd, e := call(syscall.SYS_OPENAT, atCwd, path, flags|syscall.O_CLOEXEC, 0o644)
	if e != 0 {
		return -1, e
	}
	return int(fd), nil
}

func read(fd int) (string, error) {
	b := make([]byte, 4096)
	n, e := call(syscall.SYS_READ, fd, b, len(b))
	if e != 0 {
		return "", e
	}
	return string(b[:n]), nil
}

// readFile reads the start of a file. A file without content tells nothing.
func readFile(path string) (string, error) {
	fd, err := open(path, syscall.O_RDONLY)
	if err != nil {
		return "", err
	}
	s, err := read(fd)
	if err == nil && s == "" {
		return "", fmt.Errorf("the file is empty")
	}
	return fmt.Sprintf("read %d bytes", len(s)), err
}

// writable opens a file for writing, and does not write.
func writable(path string) (string, error) {
	_, err := open(path, syscall.O_WRONLY)
	return "opened it for writing", err
}

// done returns the outcome of a call that must succeed to be an attack.
func done(what string, e syscall.Errno) (string, error) {
	if e != 0 {
		return "", e
	}
	return what, nil
}

// reach returns the outcome of a call whose arguments are wrong: an error about them comes from the code behind the wall.
func reach(e syscall.Errno) (string, error) {
	switch e {
	case syscall.EPERM, syscall.ENOSYS, syscall.EACCES:
		return "", e
	}
	return fmt.Sprintf("the kernel executed it (%v)", e), nil
}

// fork runs f in a child process and returns its process ID. Only this thread exists in the child, so f makes system calls only.
func fork(flags int, f func()) (int, syscall.Errno) {
	pid, _, e := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(flags)|uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if e == 0 && pid == 0 {
		f()
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	return int(pid), e
}

func sleepForever() {
	ts := syscall.Timespec{Sec: 1000}
	for {
		syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
	}
}
