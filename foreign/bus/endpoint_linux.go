package bus

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// readSize is the number of bytes that the filter allocates before they arrive.
const readSize = 64 << 10

func closeFiles(files []int) {
	for _, f := range files {
		_ = unix.Close(f)
	}
}

// An endpoint reads and writes messages on a socket. One goroutine may read while several write.
type endpoint struct {
	conn   *net.UnixConn
	budget *budget
	files  bool // descriptors were agreed on

	mu sync.Mutex // writing
}

// read reads one message. It takes no byte of the next, so each descriptor that the kernel delivers meanwhile belongs to this message.
// The error is io.EOF if the connection ends between two messages.
func (e *endpoint) read() (*message, error) {
	var start [fixedSize]byte
	var files []int
	if err := e.full(start[:], &files); err != nil {
		closeFiles(files)
		return nil, err
	}
	f, err := parseFixed(&start)
	if err != nil {
		closeFiles(files)
		return nil, err
	}
	var b []byte
	cost := 0
	for err == nil && len(b) < f.size() {
		n := min(f.size()-len(b), max(readSize, len(b)))
		if err = e.budget.reserve(n); err != nil {
			break
		}
		cost += n
		b = append(b, make([]byte, n)...)
		err = e.full(b[len(b)-n:], &files)
	}
	var m *message
	if err == nil {
		m, err = f.parse(b)
	}
	switch {
	case err != nil:
	case len(files) != m.needs:
		err = fmt.Errorf("a message names %d descriptors and has %d", m.needs, len(files))
	case len(files) > 0 && !e.files:
		err = errors.New("a message has descriptors, which were not agreed on")
	}
	if err != nil {
		closeFiles(files)
		e.budget.release(cost)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	m.files, m.budget, m.cost = files, e.budget, cost
	return m, nil
}

// full fills b, and appends the descriptors that arrive with it.
func (e *endpoint) full(b []byte, files *[]int) error {
	oob := make([]byte, unix.CmsgSpace(4*(maxFiles+1)))
	for n := 0; n < len(b); {
		got, control, flags, _, err := e.conn.ReadMsgUnix(b[n:], oob)
		if control > 0 {
			if err := takeFiles(oob[:control], files); err != nil {
				return err
			}
		}
		switch {
		case err != nil && n > 0 && errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		case flags&unix.MSG_CTRUNC != 0 || len(*files) > maxFiles:
			return fmt.Errorf("a message has more than %d descriptors, or this process has no room for them", maxFiles)
		}
		n += got
	}
	return nil
}

// takeFiles appends the descriptors of control messages to files. Go asked the kernel to close them in new programs.
func takeFiles(control []byte, files *[]int) error {
	all, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return err
	}
	for i := range all {
		fds, err := unix.ParseUnixRights(&all[i])
		if err != nil {
			continue // credentials, which nobody asked for
		}
		*files = append(*files, fds...)
	}
	return nil
}

// write sends a message, and closes it.
func (e *endpoint) write(m *message) error {
	defer m.close()
	b := m.encode()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(m.files) > 0 {
		if !e.files {
			return errors.New("a message has descriptors, and the receiver did not agree to get them")
		}
		n, _, err := e.conn.WriteMsgUnix(b, unix.UnixRights(m.files...), nil)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	_, err := e.conn.Write(b)
	return err
}

// sameUser returns an error if the process at the other end of a socket belongs to another user.
func sameUser(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); cerr != nil {
		return cerr
	}
	if err == nil && int(cred.Uid) != os.Geteuid() {
		err = fmt.Errorf("the program belongs to user %d, and the filter to %d", cred.Uid, os.Geteuid())
	}
	return err
}
