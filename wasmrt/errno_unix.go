//go:build unix

package wasmrt

import "syscall"

// hostErrno maps an error number of the host to an errno.
func hostErrno(e syscall.Errno) (errno, bool) {
	switch e {
	case syscall.E2BIG:
		return e2Big, true
	case syscall.EACCES:
		return eAcces, true
	case syscall.EAGAIN:
		return eAgain, true
	case syscall.EBADF:
		return eBadf, true
	case syscall.EBUSY:
		return eBusy, true
	case syscall.ECONNABORTED:
		return eConnaborted, true
	case syscall.ECONNRESET:
		return eConnreset, true
	case syscall.EEXIST:
		return eExist, true
	case syscall.EFBIG:
		return eFbig, true
	case syscall.EINVAL:
		return eInval, true
	case syscall.EISDIR:
		return eIsdir, true
	case syscall.ELOOP:
		return eLoop, true
	case syscall.EMFILE, syscall.ENFILE:
		return eMfile, true
	case syscall.EMLINK:
		return eMlink, true
	case syscall.ENAMETOOLONG:
		return eNametoolong, true
	case syscall.ENOENT:
		return eNoent, true
	case syscall.ENOSPC, syscall.EDQUOT:
		return eNospc, true
	case syscall.ENOSYS:
		return eNosys, true
	case syscall.ENOTCONN:
		return eNotconn, true
	case syscall.ENOTDIR:
		return eNotdir, true
	case syscall.ENOTEMPTY:
		return eNotempty, true
	case syscall.ENOTSUP:
		return eNotsup, true
	case syscall.ENXIO:
		return eNxio, true
	case syscall.EOVERFLOW:
		return eOverflow, true
	case syscall.EPERM:
		return ePerm, true
	case syscall.EPIPE:
		return ePipe, true
	case syscall.EROFS:
		return eRofs, true
	case syscall.ESPIPE:
		return eSpipe, true
	case syscall.ETIMEDOUT:
		return eTimedout, true
	case syscall.EXDEV:
		return eXdev, true
	}
	return 0, false
}
