package wasmrt

import (
	"io/fs"
	"os"
	"syscall"
)

// hostTimes returns the times of a file in nanoseconds; Windows reports no separate time of attribute changes.
func hostTimes(st fs.FileInfo) (atime, mtime, ctime int64) {
	m := st.ModTime().UnixNano()
	s, ok := st.Sys().(*syscall.Win32FileAttributeData)
	if !ok {
		return m, m, m
	}
	return s.LastAccessTime.Nanoseconds(), m, m
}

// hostChtimes sets the times of an open file, in units of 100 ns; a negative time means no change.
func hostChtimes(f *os.File, atime, mtime int64) error {
	var a, m *syscall.Filetime
	if atime >= 0 {
		t := syscall.NsecToFiletime(atime)
		a = &t
	}
	if mtime >= 0 {
		t := syscall.NsecToFiletime(mtime)
		m = &t
	}
	return syscall.SetFileTime(syscall.Handle(f.Fd()), nil, a, m)
}
