package wasmrt

import "errors"

// A stdFile is a standard stream of a program that is not made for processes, as a process of a build: whatever the stream is, the program sees
// a pipe. It finds neither a position nor a size, which depend on what others wrote.
type stdFile struct {
	noFile
	file   file
	p      *proc
	n      int
	record *recording // that notes what passes through; nil for none
}

func (s *stdFile) stat() (info, errno) {
	return info{kind: kindPipe, nlink: 1, ino: uint64(s.n) + 1}, eOK
}
func (s *stdFile) pread([]byte, int64) (int, errno) { return 0, eSpipe }
func (s *stdFile) seek(int64, int) (int64, errno)   { return 0, eSpipe }
func (s *stdFile) close() errno                     { return s.file.close() }

func (s *stdFile) read(b []byte) (int, errno) {
	s.record.spoil("it read its standard input")
	for {
		n, e := s.file.read(b)
		if e != eBlock {
			return n, e
		}
		end := s.file.(*pipeEnd)
		if e := s.p.waitHere(&waiting{what: "reads from a pipe", pipe: end.p, limit: -1, ready: end.readable}); e != eOK {
			return 0, e
		}
	}
}

func (s *stdFile) write(b []byte, atEnd bool) (int, errno) {
	n, e := s.pass(b, atEnd)
	s.record.wrote(s.n, b[:n])
	if e != eOK {
		s.record.spoil("it could not write its output")
	}
	return n, e
}

// pass writes to the file. It puts all bytes into a pipe, waiting for room.
func (s *stdFile) pass(b []byte, atEnd bool) (int, errno) {
	end, ok := s.file.(*pipeEnd)
	if !ok {
		n, e := s.file.write(b, atEnd)
		if out, ok := s.file.(*stream); ok && out.fatal() != nil {
			s.p.fatal = out.fatal()
		}
		return n, e
	}
	if !end.writes {
		return 0, eBadf
	}
	for done := 0; ; {
		k := end.p.k
		k.mu.Lock()
		if end.p.readers == 0 {
			k.mu.Unlock()
			return done, ePipe
		}
		done += end.p.put([][]byte{b}, done)
		k.wake()
		k.mu.Unlock()
		if done == len(b) {
			return done, eOK
		}
		e := s.p.waitHere(&waiting{
			what: "writes to a pipe", pipe: end.p, limit: -1,
			ready: func() bool { return end.p.readers == 0 || end.p.room() > 0 },
		})
		if e != eOK {
			return done, e
		}
	}
}

// waitHere waits inside a call, for a process that is alone in its image. If a signal ends the process, the call does not return, and outside of
// an instance the error is eIntr.
func (p *proc) waitHere(w *waiting) errno {
	img := p.img
	p.waits = w
	next := img.pick()
	p.waits = nil
	if next == nil {
		if img.mod != nil {
			img.goOn(nil)
		}
		return eIntr
	}
	return eOK
}

// pipeOf returns the end of a pipe that a descriptor is.
func pipeOf(f *fd) (*pipeEnd, bool) {
	in := f.file
	if s, ok := in.(*stdFile); ok {
		in = s.file
	}
	end, ok := in.(*pipeEnd)
	return end, ok
}

// recall is recording.recall for the process of an image, which may end meanwhile: then the result is 0 and true.
func (img *image) recall() (exit int, ok bool) {
	defer func() {
		if r := recover(); r != nil {
			if err, stopped := r.(error); !stopped || !errors.Is(err, errStopped) {
				panic(r)
			}
			exit, ok = 0, true
		}
	}()
	if img.record == nil {
		return 0, false
	}
	img.takeSlot()
	if exit, ok = img.record.recall(); ok && img.cur.fatal != nil {
		img.k.halt(img.cur.fatal)
	}
	return exit, ok || len(img.procs) == 0
}
