//go:build unix

package supervise

import (
	"os"

	"golang.org/x/sys/unix"
)

// acceptable reports whether a connection waits to be accepted.
func acceptable(f *os.File) (bool, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	var n int
	var failed error
	err = raw.Control(func(fd uintptr) {
		list := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, failed = unix.Poll(list, 0)
	})
	if err == nil && failed != nil && failed != unix.EINTR { //nolint:errorlint // a system call's own error
		err = failed
	}
	return n > 0 || failed != nil, err
}

// Inheritable makes a socket wait in accept again, as programs expect of one that they are given: a program before may have changed that for all.
func Inheritable(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.SetNonblock(int(fd), false) }); err != nil {
		return err
	}
	return failed
}
