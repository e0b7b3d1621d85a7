package prepared

import (
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"
)

// supported reports that this system tells enough about a file.
const supported = true

// openFlags keep an open from following a link, and from waiting.
const openFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// identityOf returns what tells a file from any other, and from itself before a change, and when it last changed.
func identityOf(info fs.FileInfo) (string, time.Time) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "unknown", time.Now()
	}
	b := make([]byte, 0, 96)
	for _, n := range []int64{int64(st.Dev), int64(st.Ino), st.Size, st.Mtim.Nano(), st.Ctim.Nano(), int64(st.Mode), int64(st.Uid), int64(st.Gid)} {
		b = append(strconv.AppendInt(b, n, 36), '.')
	}
	return string(b), time.Unix(0, max(st.Mtim.Nano(), st.Ctim.Nano()))
}

// own reports whether a file is of this user, and only this user may write it.
func own(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0
}
