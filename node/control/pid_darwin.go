package control

import "golang.org/x/sys/unix"

// peerPID returns the process that made the other end of a unix socket listen.
func peerPID(fd int) (int, error) { return unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID) }
