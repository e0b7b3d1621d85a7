//go:build unix

package ownfile

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// tryLock locks an open file against other processes until it is closed. If another process has the lock, the error is errLocked.
func tryLock(f *os.File) error { return flock(f, unix.LOCK_EX) }

// tryShare locks an open file against tryLock alone.
func tryShare(f *os.File) error { return flock(f, unix.LOCK_SH) }

func flock(f *os.File, how int) error {
	err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errLocked
	}
	return err
}

// Owner reports whether a file belongs to the user of this process, and the number of its user.
func Owner(info fs.FileInfo) (user string, ours bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", true
	}
	return strconv.Itoa(int(stat.Uid)), int(stat.Uid) == os.Getuid()
}

// ReadOnly reports whether an error says that the file system is read-only.
func ReadOnly(err error) bool { return errors.Is(err, unix.EROFS) }
