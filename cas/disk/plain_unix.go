//go:build unix

package disk

import (
	"io"
	"os"
	"syscall"
)

// A Plain is a file that is opened, read or written once, and closed. os.File asks the system whether each file can be
// waited for, as a socket can, which takes five more system calls and leaves the garbage collector a file to close.
type Plain struct {
	fd   int
	path string
}

// createPlain makes a new file of mode 0444.
func createPlain(path string) (Plain, error) {
	return openAs(path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL)
}

// OpenPlain opens a file for reading. The caller closes it.
func OpenPlain(path string) (Plain, error) {
	return openAs(path, syscall.O_RDONLY)
}

func openAs(path string, flags int) (Plain, error) {
	for {
		fd, err := syscall.Open(path, flags|syscall.O_CLOEXEC, 0o444)
		switch err {
		case nil:
			return Plain{fd, path}, nil
		case syscall.EINTR:
		default:
			return Plain{}, &os.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// Write implements io.Writer.
func (f Plain) Write(b []byte) (int, error) {
	return f.all("write", b, io.ErrShortWrite, func(done int) (int, error) { return syscall.Write(f.fd, b[done:]) })
}

// ReadAt implements io.ReaderAt.
func (f Plain) ReadAt(b []byte, offset int64) (int, error) {
	return f.all("read", b, io.EOF, func(done int) (int, error) { return syscall.Pread(f.fd, b[done:], offset+int64(done)) })
}

// all calls the system until all bytes of b are done. It returns nothing if a call does none.
func (f Plain) all(op string, b []byte, nothing error, call func(done int) (int, error)) (done int, err error) {
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

// Close implements io.Closer. The descriptor is closed even if a signal interrupts the call.
func (f Plain) Close() error {
	if err := syscall.Close(f.fd); err != nil && err != syscall.EINTR {
		return f.failed("close", err)
	}
	return nil
}

func (f Plain) failed(op string, err error) error {
	return &os.PathError{Op: op, Path: f.path, Err: err}
}
