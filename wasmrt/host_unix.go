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

// hostInode returns what identifies a file by its name in an open directory, not following links.
func hostInode(dir *os.File, name string) (ino, nlink uint64, ok bool) {
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, 0, false
	}
	return uint64(st.Ino), uint64(st.Nlink), true //nolint:unconvert // types differ between systems
}
