//go:build darwin || freebsd || netbsd

package wasmrt

import (
	"io/fs"
	"syscall"
)

// hostTimes returns the times of a file in nanoseconds.
func hostTimes(st fs.FileInfo) (atime, mtime, ctime int64) {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		m := st.ModTime().UnixNano()
		return m, m, m
	}
	return s.Atimespec.Nano(), s.Mtimespec.Nano(), s.Ctimespec.Nano()
}
