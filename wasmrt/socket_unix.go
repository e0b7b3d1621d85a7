//go:build unix

package wasmrt

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// listeningFD returns the descriptor of a listening stream socket, which no longer waits.
func listeningFD(f *os.File) (int, error) {
	fd := int(f.Fd())
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return 0, err
	}
	if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); kind != unix.SOCK_STREAM || err == nil && on == 0 {
		return 0, errors.New("it is no listening socket of streams")
	}
	return fd, unix.SetNonblock(fd, true)
}

// acceptFD accepts a connection without waiting.
func acceptFD(fd int) (int, errno) {
	for {
		syscall.ForkLock.RLock()
		n, _, err := unix.Accept(fd)
		if err == nil {
			unix.CloseOnExec(n)
		}
		syscall.ForkLock.RUnlock()
		switch {
		case err == nil:
			if err := unix.SetNonblock(n, true); err != nil {
				_ = unix.Close(n)
				return 0, errnoOf(err)
			}
			return n, eOK
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED): // the client has left
		default:
			return 0, errnoOf(err)
		}
	}
}

func recvFD(fd int, b []byte, peek bool) (int, errno) {
	flags := 0
	if peek {
		flags = unix.MSG_PEEK
	}
	for {
		n, _, err := unix.Recvfrom(fd, b, flags)
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), errnoOf(err)
		}
	}
}

func sendFD(fd int, b []byte) (int, errno) {
	for {
		n, err := unix.Write(fd, b) // Go's runtime takes SIGPIPE
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), errnoOf(err)
		}
	}
}

// unread reports whether something waits to be read.
func unread(fd int) bool {
	n, err := unix.IoctlGetInt(fd, fionread)
	return err == nil && n > 0
}

func closeFD(fd int) errno         { return errnoOf(unix.Close(fd)) }
func shutdownFD(fd, how int) errno { return errnoOf(unix.Shutdown(fd, how)) }
