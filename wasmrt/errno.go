package wasmrt

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// An errno is the result of a WASI call; zero is success.
// The numbers are those of wasi_snapshot_preview1.
type errno uint32

const (
	eOK          errno = 0
	e2Big        errno = 1
	eAcces       errno = 2
	eAgain       errno = 6
	eBadf        errno = 8
	eBusy        errno = 10
	eChild       errno = 12
	eConnaborted errno = 13
	eConnreset   errno = 15
	eExist       errno = 20
	eFault       errno = 21
	eFbig        errno = 22
	eIlseq       errno = 25
	eIntr        errno = 27
	eInval       errno = 28
	eIO          errno = 29
	eIsdir       errno = 31
	eLoop        errno = 32
	eMfile       errno = 33
	eMlink       errno = 34
	eNametoolong errno = 37
	eNfile       errno = 41
	eNoent       errno = 44
	eNoexec      errno = 45
	eNomem       errno = 48
	eNospc       errno = 51
	eNosys       errno = 52
	eNotconn     errno = 53
	eNotdir      errno = 54
	eNotempty    errno = 55
	eNotsock     errno = 57
	eNotsup      errno = 58
	eNxio        errno = 60
	eOverflow    errno = 61
	ePerm        errno = 63
	ePipe        errno = 64
	eRange       errno = 68
	eRofs        errno = 69
	eSpipe       errno = 70
	eSrch        errno = 71
	eTimedout    errno = 73
	eXdev        errno = 75
	eNotcapable  errno = 76

	// eBlock is no errno: a call in a kernel returns it when it has to wait, and is made again.
	eBlock errno = 1 << 31
)

var errnoText = map[errno]string{
	e2Big: "argument list too long", eAcces: "permission denied", eAgain: "resource temporarily unavailable",
	eBadf: "bad file descriptor", eBusy: "resource busy", eExist: "file exists", eFault: "bad address",
	eFbig: "file too large", eIlseq: "name is not valid UTF-8", eInval: "invalid argument", eIO: "input/output error",
	eIsdir: "is a directory", eLoop: "too many levels of symbolic links", eMfile: "too many open files",
	eMlink: "too many links", eNametoolong: "file name too long", eNoent: "no such file or directory",
	eNoexec: "not a program", eNospc: "no space left", eNosys: "function not supported", eNotdir: "not a directory",
	eNotempty: "directory not empty", eNotsup: "not supported", eNxio: "not a regular file or directory",
	ePerm: "operation not permitted", eRofs: "read-only file system", eSpipe: "illegal seek", eXdev: "cross-device link",
	eChild: "no child processes", eIntr: "interrupted", eNfile: "too many pipes", eNomem: "out of memory", eSrch: "no such process",
	eNotsock: "not a socket", eNotcapable: "the descriptor lacks the right",
}

// Error returns a description of the error number.
func (e errno) Error() string {
	if s, ok := errnoText[e]; ok {
		return s
	}
	return "wasi error " + itoa(int(e))
}

// Is makes errors.Is(err, fs.ErrNotExist) and similar tests work.
func (e errno) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e == eNoent
	case fs.ErrExist:
		return e == eExist || e == eNotempty
	case fs.ErrPermission:
		return e == eAcces || e == ePerm || e == eRofs || e == eNotcapable
	}
	return false
}

// err returns e as an error, nil for success.
func (e errno) err() error {
	if e == eOK {
		return nil
	}
	return e
}

// errnoOf maps an error of the host's file system to an errno.
// If os.Root refused a path that leaves the root, the errno is ePerm.
func errnoOf(err error) errno {
	if err == nil {
		return eOK
	}
	var e errno
	if errors.As(err, &e) {
		return e
	}
	var sys syscall.Errno
	if errors.As(err, &sys) {
		if e, ok := hostErrno(sys); ok {
			return e
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return eNoent
	case errors.Is(err, fs.ErrExist):
		return eExist
	case errors.Is(err, fs.ErrPermission):
		return eAcces
	case errors.Is(err, fs.ErrClosed):
		return eBadf
	}
	// os.Root has no sentinel for "path escapes from parent".
	var pe *fs.PathError
	var le *os.LinkError
	if (errors.As(err, &pe) || errors.As(err, &le)) && !errors.As(err, &sys) {
		return ePerm
	}
	return eIO
}

func itoa(n int) string {
	if n < 0 {
		return "-" + itoa(-n)
	}
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}
