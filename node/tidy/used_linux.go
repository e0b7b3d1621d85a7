package tidy

import (
	"io/fs"
	"syscall"
	"time"
)

// usedAt returns when a file was last read or written, as far as the file system records reads.
func usedAt(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if read := time.Unix(st.Atim.Unix()); read.After(info.ModTime()) {
			return read
		}
	}
	return info.ModTime()
}
