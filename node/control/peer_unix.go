//go:build linux || darwin || freebsd

package control

import (
	"fmt"
	"net"
	"os"
)

// checkPeer asks the kernel whether the process at the other end of a unix socket is this user's or root's.
func checkPeer(conn net.Conn) error {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return err
	}
	var user uint32
	var userErr error
	if err := raw.Control(func(fd uintptr) { user, userErr = peerUser(int(fd)) }); err != nil {
		return err
	}
	if userErr != nil {
		return userErr
	}
	if int(user) != os.Getuid() && user != 0 {
		return fmt.Errorf("user %d may not use the daemon of user %d", user, os.Getuid())
	}
	return nil
}
