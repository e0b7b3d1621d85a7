//go:build linux || darwin || freebsd

package control

import (
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

// peerOf asks the kernel for the user of the process at the other end of a unix socket.
func peerOf(conn net.Conn) (uint32, error) { return ofPeer(conn, peerUser) }

// peerProcess returns the process at the other end of a unix socket, or 0 if the system does not report it.
func peerProcess(conn net.Conn) (int, error) { return ofPeer(conn, peerPID) }

// ownFile reports whether this user owns a file.
func ownFile(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}
