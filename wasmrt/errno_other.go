//go:build !unix

package wasmrt

import "syscall"

// hostErrno maps an error number of the host to an errno.
// errnoOf recognises most Windows errors with errors.Is; these few have no fs sentinel.
func hostErrno(e syscall.Errno) (errno, bool) {
	switch e {
	case syscall.ENOTDIR:
		return eNotdir, true
	case syscall.ENOTEMPTY, syscall.Errno(145): // ERROR_DIR_NOT_EMPTY
		return eNotempty, true
	case syscall.EISDIR:
		return eIsdir, true
	case syscall.ELOOP:
		return eLoop, true
	case syscall.Errno(112): // ERROR_DISK_FULL
		return eNospc, true
	case syscall.EINVAL:
		return eInval, true
	}
	return 0, false
}
