package disk

import (
	"io/fs"
	"syscall"
)

func (st *stamp) addSystem(info fs.FileInfo) {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		st.changed = sys.Ctim.Nano()
		st.inode = sys.Ino
	}
}
