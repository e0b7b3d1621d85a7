package fsmount

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	doorName = "mount.sock" // in the folder of sockets; the daemon listens there for holders
	// maxMessage bounds a message of a holder.
	maxMessage = 64 << 10
)

// A door is one end of a connection between a daemon and a holder: a unix socket that keeps messages apart, and whose other end belongs to the same
// user.
type door struct {
	conn    *net.UnixConn
	process int // at the other end
}

// inFolder calls fn with a short path of a file in a folder: the path of a socket may have at most 107 bytes.
func inFolder(dir, name string, fn func(path string) error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // a folder
	return fn(fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), name))
}

// listenDoor listens for holders.
func listenDoor(run string) (l *net.UnixListener, err error) {
	if err := os.Remove(filepath.Join(run, doorName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	err = inFolder(run, doorName, func(path string) error {
		if l, err = net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"}); err != nil {
			return err
		}
		l.SetUnlinkOnClose(false) // when it closes, another daemon's socket may have the name
		return os.Chmod(path, 0o600)
	})
	return l, err
}

// dialDoor connects to the daemon of a folder.
func dialDoor(run string) (d *door, err error) {
	err = inFolder(run, doorName, func(path string) error {
		conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
		if err == nil {
			d, err = newDoor(conn)
		}
		return err
	})
	return d, err
}

// newDoor asks the kernel whose the other end is, and refuses another user's.
func newDoor(conn *net.UnixConn) (*door, error) {
	raw, err := conn.SyscallConn()
	process := 0
	if err == nil {
		var cred *unix.Ucred
		var e error
		err = raw.Control(func(fd uintptr) { cred, e = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
		if err = errors.Join(err, e); err == nil {
			process = int(cred.Pid)
		}
		if err == nil && int(cred.Uid) != os.Getuid() && cred.Uid != 0 {
			err = fmt.Errorf("user %d may not use the mount of user %d", cred.Uid, os.Getuid())
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &door{conn, process}, nil
}

// send sends a message, with a descriptor if fd is not negative.
func (d *door) send(b []byte, fd int) error {
	var oob []byte
	if fd >= 0 {
		oob = unix.UnixRights(fd)
	}
	_, _, err := d.conn.WriteMsgUnix(b, oob, nil)
	return err
}

// receive receives a message, and the control data beside it.
func (d *door) receive() (b, oob []byte, err error) {
	b, oob = make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4*8))
	n, m, flags, _, err := d.conn.ReadMsgUnix(b, oob)
	switch {
	case err != nil:
		return nil, nil, err
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		_, _ = onlyFD(oob[:m])
		return nil, nil, fmt.Errorf("a message is longer than %d bytes", maxMessage)
	case n == 0 && m == 0:
		return nil, nil, net.ErrClosed
	}
	return b[:n], oob[:m], nil
}

func (d *door) deadline(t time.Duration) { _ = d.conn.SetDeadline(time.Now().Add(t)) }
func (d *door) noDeadline()              { _ = d.conn.SetDeadline(time.Time{}) }
func (d *door) close()                   { d.conn.Close() } //nolint:errcheck // a socket

// checkDevice reports an error unless fd is a connection of FUSE: the daemon reads requests from it.
func checkDevice(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(10, 229) {
		return errors.New("the descriptor that was sent is not one of FUSE")
	}
	return nil
}
