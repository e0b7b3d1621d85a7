//go:build unix

package wasmrt

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// hostOpenFlags are added to every open: an open never waits for the other end of a FIFO, and no child inherits the descriptor.
const hostOpenFlags = syscall.O_NONBLOCK | syscall.O_CLOEXEC

// hostID returns the numbers that identify a file on this machine, and its number of names.
func hostID(st fs.FileInfo) (dev, ino, nlink uint64, ok bool) {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, 0, false
	}
	return uint64(s.Dev), uint64(s.Ino), uint64(s.Nlink), true //nolint:unconvert // types differ between systems
}

// hostInode returns the inode number and the number of names of a file in an open directory, without following links.
func hostInode(dir *os.File, name string) (ino, nlink uint64, ok bool) {
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, 0, false
	}
	return uint64(st.Ino), uint64(st.Nlink), true //nolint:unconvert // types differ between systems
}
