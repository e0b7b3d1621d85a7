//go:build unix && !linux

package wasmrt

import (
	"os"

	"golang.org/x/sys/unix"
)

// hostChtimes sets the times of an open file; a negative time means no change.
// Not every system can set nanoseconds without a path, but all can set microseconds.
func hostChtimes(f *os.File, atime, mtime int64) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	a, m, _ := hostTimes(st)
	if atime >= 0 {
		a = atime
	}
	if mtime >= 0 {
		m = mtime
	}
	return unix.Futimes(int(f.Fd()), []unix.Timeval{unix.NsecToTimeval(a), unix.NsecToTimeval(m)})
}

// hostLinkTimes leaves the times of a link unchanged: not every system can set them by a name in an open directory.
func hostLinkTimes(*os.File, string, int64, int64) error { return nil }
