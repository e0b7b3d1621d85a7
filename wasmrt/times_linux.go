package wasmrt

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hostChtimes sets the times of an open file; a negative time means no change.
func hostChtimes(f *os.File, atime, mtime int64) error {
	ts := timespecs(atime, mtime)
	// As in futimens(3), a call without a path changes the file of the descriptor.
	if _, _, e := unix.Syscall6(unix.SYS_UTIMENSAT, f.Fd(), 0, uintptr(unsafe.Pointer(&ts[0])), 0, 0, 0); e != 0 {
		return e
	}
	return nil
}

// hostLinkTimes sets the times of a link itself, by its name in an open directory.
func hostLinkTimes(dir *os.File, name string, atime, mtime int64) error {
	ts := timespecs(atime, mtime)
	return unix.UtimesNanoAt(int(dir.Fd()), name, ts[:], unix.AT_SYMLINK_NOFOLLOW)
}

func timespecs(atime, mtime int64) (ts [2]unix.Timespec) {
	for i, t := range []int64{atime, mtime} {
		if ts[i] = unix.NsecToTimespec(t); t < 0 {
			ts[i] = unix.Timespec{Nsec: unix.UTIME_OMIT}
		}
	}
	return ts
}
