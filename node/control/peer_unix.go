//go:build linux || darwin || freebsd

package control

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// ofPeer asks the kernel about the other end of a unix socket.
func ofPeer[T any](conn net.Conn, ask func(fd int) (T, error)) (answer T, err error) {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return answer, err
	}
	var askErr error
	if err := raw.Control(func(fd uintptr) { answer, askErr = ask(int(fd)) }); err != nil {
		return answer, err
	}
	return answer, askErr
}

// checkPeer asks the kernel whether the process at the other end of a unix socket is this user's or root's.
func checkPeer(conn net.Conn) error {
	user, err := ofPeer(conn, peerUser)
	if err != nil {
		return err
	}
	if int(user) != os.Getuid() && user != 0 {
		return fmt.Errorf("user %d may not use the daemon of user %d", user, os.Getuid())
	}
	return nil
}

// peerProcess returns the process at the other end of a unix socket, or 0 if the system does not report it.
func peerProcess(conn net.Conn) (int, error) { return ofPeer(conn, peerPID) }

// ownFile reports whether this user owns a file.
func ownFile(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}
