//go:build unix

package disk

import (
	"io/fs"
	"syscall"
)

// Room returns the room on the disk that the removal of a file frees: none if it has another hard link.
func Room(info fs.FileInfo) int64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return info.Size()
	case st.Nlink > 1:
		return 0
	}
	return st.Blocks * 512
}
