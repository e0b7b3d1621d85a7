//go:build unix

package cas

import (
	"io"
	"os"
	"syscall"
)

// A plainFile is a file that is opened, read or written once, and closed. os.File asks the system for each whether it can be
// waited for, as a socket can: five more system calls, and something for the garbage collector to close.
type plainFile struct {
	fd   int
	path string
}

// createPlain makes a file of mode 0444 that is not there yet.
func createPlain(path string) (plainFile, error) {
	return openPlainAs(path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL)
}

// openPlain opens a file for reading.
func openPlain(path string) (plainFile, error) {
	return openPlainAs(path, syscall.O_RDONLY)
}

func openPlainAs(path string, flags int) (plainFile, error) {
	for {
		fd, err := syscall.Open(path, flags|syscall.O_CLOEXEC, 0o444)
		switch err {
		case nil:
			return plainFile{fd, path}, nil
		case syscall.EINTR:
		default:
			return plainFile{}, &os.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// Write implements io.Writer.
func (f plainFile) Write(b []byte) (int, error) {
	return f.all("write", b, io.ErrShortWrite, func(done int) (int, error) { return syscall.Write(f.fd, b[done:]) })
}

// ReadAt implements io.ReaderAt.
func (f plainFile) ReadAt(b []byte, offset int64) (int, error) {
	return f.all("read", b, io.EOF, func(done int) (int, error) { return syscall.Pread(f.fd, b[done:], offset+int64(done)) })
}

// all calls the system until it is done with all bytes of b; nothing is the error when it goes no further.
func (f plainFile) all(op string, b []byte, nothing error, call func(done int) (int, error)) (done int, err error) {
	for done < len(b) {
		n, err := call(done)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return done, f.failed(op, err)
		case n == 0:
			return done, nothing
		default:
			done += n
		}
	}
	return done, nil
}

// Close implements io.Closer. The descriptor is closed even when that was interrupted.
func (f plainFile) Close() error {
	if err := syscall.Close(f.fd); err != nil && err != syscall.EINTR {
		return f.failed("close", err)
	}
	return nil
}

func (f plainFile) failed(op string, err error) error {
	return &os.PathError{Op: op, Path: f.path, Err: err}
}
