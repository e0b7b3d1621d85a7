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
func (f plainFile) Write(b []byte) (written int, err error) {
	for written < len(b) {
		n, err := syscall.Write(f.fd, b[written:])
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return written, f.failed("write", err)
		case n == 0:
			return written, io.ErrShortWrite
		}
		written += max(n, 0)
	}
	return written, nil
}

// ReadAt implements io.ReaderAt.
func (f plainFile) ReadAt(b []byte, offset int64) (read int, err error) {
	for read < len(b) {
		n, err := syscall.Pread(f.fd, b[read:], offset+int64(read))
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return read, f.failed("read", err)
		case n == 0:
			return read, io.EOF
		}
		read += max(n, 0)
	}
	return read, nil
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
