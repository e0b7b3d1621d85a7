//go:build unix

package wasmrt

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// hostOpenFlags are added to every open: never wait for a FIFO's other end, never leak into a child.
const hostOpenFlags = syscall.O_NONBLOCK | syscall.O_CLOEXEC

// hostID returns what identifies a file on this machine.
func hostID(st fs.FileInfo) (dev, ino, nlink uint64, ok bool) {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, 0, false
	}
	return uint64(s.Dev), uint64(s.Ino), uint64(s.Nlink), true //nolint:unconvert // types differ between systems
}

// hostChtimes sets the times of an open file; a negative time is left as it is.
func hostChtimes(f *os.File, atime, mtime int64) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if atime < 0 {
		atime = st.ModTime().UnixNano()
	}
	if mtime < 0 {
		mtime = st.ModTime().UnixNano()
	}
	tv := []unix.Timeval{unix.NsecToTimeval(atime), unix.NsecToTimeval(mtime)}
	return unix.Futimes(int(f.Fd()), tv)
}
