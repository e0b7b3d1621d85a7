package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

const (
	logSize  = 1 << 20 // bytes of one file of a service's log
	logFiles = 8
	maxLine  = 16 << 10 // longer lines are cut into several
)

// A serviceLog is the log of a service: the file current in a folder, and older ones, 1 being the newest.
type serviceLog struct {
	dir  string
	f    *os.File
	size int64
}

func openServiceLog(dir string) (*serviceLog, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	l := &serviceLog{dir: dir}
	return l, l.open()
}

func (l *serviceLog) current() string { return filepath.Join(l.dir, "current") }

func (l *serviceLog) open() (err error) {
	if l.f, err = os.OpenFile(l.current(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return err
	}
	info, err := l.f.Stat()
	if err == nil {
		l.size = info.Size()
	}
	return err
}

// write appends a line, after the file was rotated if it is full.
func (l *serviceLog) write(line []byte) error {
	if l.size+int64(len(line)) > logSize && l.size > 0 {
		if err := l.f.Close(); err != nil {
			return err
		}
		at := func(i int) string { return filepath.Join(l.dir, fmt.Sprint(i)) }
		for i := logFiles - 2; i > 0; i-- {
			_ = os.Rename(at(i), at(i+1)) // it may not exist yet
		}
		if err := os.Rename(l.current(), at(1)); err != nil {
			return err
		}
		if err := l.open(); err != nil {
			return err
		}
	}
	n, err := l.f.Write(line)
	l.size += int64(n)
	return err
}

// Close closes the log.
func (l *serviceLog) Close() error { return l.f.Close() }

// A lineWriter passes on whole lines of a program, with a prefix. It never fails: a full disk must not end the program.
type lineWriter struct {
	log    *serviceLog // nil: none
	mu     *sync.Mutex // of to
	to     io.Writer
	prefix string
	rest   []byte
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 && len(w.rest) < maxLine {
			return len(b), nil
		}
		if i < 0 || i >= maxLine {
			i = maxLine - 1
		}
		w.line(w.rest[:i+1])
		w.rest = append(w.rest[:0], w.rest[i+1:]...)
	}
}

func (w *lineWriter) line(line []byte) {
	if line[len(line)-1] != '\n' {
		line = append(bytes.Clone(line), '\n')
	}
	if w.log != nil {
		_ = w.log.write(line)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = fmt.Fprintf(w.to, "%s%s", w.prefix, line)
}

// flush passes on a line without an end.
func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.line(w.rest)
		w.rest = nil
	}
}
