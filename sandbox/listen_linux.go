package sandbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// receiveSocket receives the socket that the launcher sends with one byte, or else the first byte of a report.
func receiveSocket(control *os.File) (*os.File, []byte, error) {
	raw, err := control.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	b, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	var n, got int
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		n, got, _, _, failed = unix.Recvmsg(int(fd), b, rights, unix.MSG_CMSG_CLOEXEC)
		return !errors.Is(failed, unix.EAGAIN)
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, nil, err
	}
	if got == 0 {
		return nil, b[:n], nil
	}
	messages, err := unix.ParseSocketControlMessage(rights[:got])
	if err != nil || len(messages) != 1 {
		return nil, nil, fmt.Errorf("%d control messages: %w", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, nil, fmt.Errorf("%d descriptors: %w", len(fds), err)
	}
	return os.NewFile(uintptr(fds[0]), "listener"), nil, nil
}
