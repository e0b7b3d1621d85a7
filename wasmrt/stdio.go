package wasmrt

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// openStdio opens a standard stream; nil is /dev/null.
// If another program lent the file, the two programs share it and its offset, and it is not closed.
func openStdio(v any) (*fd, error) {
	f := &fd{read: true, write: true, borrowed: true}
	switch s := v.(type) {
	case nil:
		f.file = &device{name: "null"}
	case *lent:
		f.file, f.path, f.ino, f.atEnd = s.fd.file, s.fd.path, s.fd.ino, s.fd.atEnd
		f.read = s.fd.read && s.fd.lost&rightRead == 0
		f.write = s.fd.write && s.fd.lost&rightWrite == 0
		if f.file == nil {
			return nil, eIsdir
		}
	case *os.File:
		if s == nil {
			f.file = &device{name: "null"}
			break
		}
		st, err := s.Stat()
		if err != nil {
			return nil, err
		}
		k := kindPipe
		switch {
		case st.Mode().IsRegular():
			k = kindFile
		case term.IsTerminal(int(s.Fd())):
			k = kindTTY
		}
		f.file = &stream{r: s, w: s, f: s, kind: k}
	default:
		st := &stream{kind: kindPipe}
		st.r, _ = v.(io.Reader)
		st.w, _ = v.(io.Writer)
		f.file = st
	}
	return f, nil
}

// lent is an open file of a program that serves another program as a standard stream.
type lent struct{ fd *fd }

func (l *lent) Read(b []byte) (int, error) {
	n, e := l.fd.file.read(b)
	if n == 0 && e == eOK && len(b) > 0 {
		return 0, io.EOF
	}
	return n, e.err()
}

func (l *lent) Write(b []byte) (int, error) {
	n, e := l.fd.file.write(b, l.fd.atEnd)
	return n, e.err()
}

// stream is an open file backed by a reader or writer of the host.
type stream struct {
	noFile
	r    io.Reader
	w    io.Writer
	f    *os.File // set if the stream is a host file
	kind fileKind

	mu  sync.Mutex
	err error // the error that ends the program
}

func (s *stream) fatal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *stream) stat() (info, errno) {
	i := info{kind: s.kind, nlink: 1, ino: 1}
	if s.kind == kindFile {
		st, err := s.f.Stat()
		if err != nil {
			return i, errnoOf(err)
		}
		i.size = st.Size()
	}
	return i, eOK
}

func (s *stream) read(b []byte) (int, errno) {
	if s.r == nil {
		return 0, eBadf
	}
	if len(b) == 0 {
		return 0, eOK
	}
	n, err := s.r.Read(b)
	if n > 0 || err == nil || errors.Is(err, io.EOF) {
		return n, eOK
	}
	return 0, errnoOf(err)
}

func (s *stream) write(b []byte, _ bool) (int, errno) {
	if s.w == nil {
		return 0, eBadf
	}
	if len(b) == 0 {
		return 0, eOK
	}
	n, err := s.w.Write(b)
	if err == nil {
		return n, eOK
	}
	var limit *LimitError
	if errors.As(err, &limit) {
		s.mu.Lock()
		s.err = limit
		s.mu.Unlock()
	}
	if errors.Is(err, io.ErrClosedPipe) {
		return n, ePipe
	}
	return n, errnoOf(err)
}

func (s *stream) pread(b []byte, off int64) (int, errno) {
	if s.kind != kindFile {
		return 0, eSpipe
	}
	return readAt(s.f, b, off)
}

func (s *stream) seek(off int64, whence int) (int64, errno) {
	if s.kind != kindFile {
		return 0, eSpipe
	}
	n, err := s.f.Seek(off, whence)
	return n, errnoOf(err)
}

func (s *stream) truncate(size int64) errno {
	if s.kind != kindFile {
		return eInval
	}
	return errnoOf(s.f.Truncate(size))
}

// lockedReader and lockedWriter let several processes use a stream of a command.
type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedReader) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(b)
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// ownLock reports whether a stream may be used by several goroutines as it is, and is more than a reader or writer to a program: a file of the host, or
// of another program.
func ownLock(stream any) bool {
	switch stream.(type) {
	case *os.File, *lent:
		return true
	}
	return false
}
