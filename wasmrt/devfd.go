package wasmrt

import (
	"strconv"
	"strings"
)

// The files of /dev/fd are the descriptors of the process that opens them: another descriptor for the same open file, as on BSD. Linux opens the file once more.
const descriptors = "/dev/fd/"

// standardStreams are links in /dev.
var standardStreams = map[string]string{"stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}

// descriptorNumber returns the number of a name in /dev/fd.
func descriptorNumber(name string) (n int, ok bool) {
	n, err := strconv.Atoi(name)
	return n, err == nil && n >= 0 && n < maxOpen && strconv.Itoa(n) == name
}

// descriptorAt returns the descriptor that a path without links means. ok is false if it means none; f is nil if the descriptor is closed.
func (p *proc) descriptorAt(path string) (f *fd, ok bool) {
	name, ok := strings.CutPrefix(path, descriptors)
	if !ok {
		return nil, false
	}
	if m, _ := p.fs.cover(path); m == nil || m.b != (devices{}) {
		return nil, false
	}
	n, ok := descriptorNumber(name)
	if ok && n < len(p.fds) {
		f = p.fds[n]
	}
	return f, ok
}

// reopen returns another descriptor of an open file, for reading or writing or both as far as the first one can.
func (f *fd) reopen(flag openFlag, atEnd, nonblock bool) (*fd, errno) {
	if f == nil {
		return nil, eNoent
	}
	if f.file != nil && (flag&openRead != 0 && !f.read || flag&openWrite != 0 && !f.write) {
		return nil, eAcces
	}
	c := f.again()
	c.read, c.write = flag&openRead != 0, flag&openWrite != 0
	c.atEnd, c.nonblock = c.atEnd || atEnd, c.nonblock || nonblock
	return c, eOK
}
