package wasmrt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A loadedProgram is a program that is about to run: its module, and its arguments and variables after scripts and wrappers.
type loadedProgram struct {
	mod       *Module
	args, env []string
	self      []string // the roots of its packages; see Self
	exe       string   // the path of the module, without links
	release   func()   // for when the program has ended
}

func (l *loadedProgram) name() string { return path.Base(l.args[0]) }

// prepare loads the program that the arguments of exec2 name: path, argv and env, each an address and a length.
func (p *proc) prepare(m memory, a []uint64) (*loadedProgram, errno) {
	name, e := m.str(a[0], a[1])
	if e != eOK {
		return nil, e
	}
	var lists [2][]string
	for i := range lists {
		b, e := m.bytes(a[2+2*i], a[3+2*i])
		if e != eOK {
			return nil, e
		}
		if lists[i], e = parseStrings(b); e != eOK {
			return nil, e
		}
	}
	args, env := lists[0], lists[1]
	l, e := p.fs.walk(p.cwd, name, true)
	if dir := path.Dir(name); e == eNoent && (dir == "/bin" || dir == "/usr/bin") { // a build has no /bin; scripts mean programs of its inputs
		if found, err := p.k.host.lookup(p.fs, path.Base(name), "/"); err == nil {
			l, e = p.fs.walk("/", found, true)
			name = found
		}
	}
	switch {
	case e != eOK:
		return nil, e
	case l.info.kind != kindFile || !l.info.exec:
		return nil, eAcces
	}
	if !strings.Contains(name, "/") {
		name = join(p.cwd, name)
	}
	call := []string{name}
	if len(args) > 1 {
		call = append(call, args[1:]...)
	}
	load, err := p.k.host.resolve(p.ctx, p.fs, call, env, p.cwd)
	if err == nil {
		err = load.runnable(p.k.host)
	}
	if err != nil {
		return nil, p.execError(err)
	}
	if len(load.args) == len(args) {
		load.args[0] = args[0] // what the caller wants the program to be called
	}
	return load, eOK
}

// execError returns the errno for a program that cannot be loaded. The error says more where the program itself is at fault.
func (p *proc) execError(err error) errno {
	var e errno
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return eAgain
	case errors.Is(err, eNoexec):
		return eNoexec // a shell takes the file for a script
	case errors.Is(err, fs.ErrNotExist):
		p.k.say("%v", err)
		return eNoent
	case errors.As(err, &e):
		return e
	}
	p.k.say("%v", err)
	return eInval
}

var errLibrary = errors.New("has no _start; it is a library")

// runnable returns why a module cannot be started, as nil if it can. A program whose result a Memo may know is not looked at: reading the machine code of a
// compiler takes a second. What is wrong with it ends its process.
func (l *loadedProgram) runnable(h *Host) error {
	if h.Memo != nil && l.mod.scan.pure() {
		return nil
	}
	err := errLibrary
	if l.mod.scan.exports["_start"] {
		var c *compiled
		if c, err = l.mod.variant(context.Background(), false); err == nil {
			err = c.checkImports()
		}
	}
	if err != nil {
		l.release()
		return &loadError{l.name(), err}
	}
	return nil
}

// A loadError says that a program cannot be started.
type loadError struct {
	name string
	err  error
}

func (e *loadError) Error() string { return fmt.Sprintf("program %q: %v", e.name, e.err) }
func (e *loadError) Unwrap() error { return e.err }

// execute makes a process the one of a new program: its arguments, variables, random numbers, and descriptors if it is not made for processes.
func (p *proc) execute(load *loadedProgram) {
	p.args, p.env, p.name, p.exe = load.args, load.env, load.name(), ""
	p.golang = load.mod.scan.golang
	p.fs = p.fs.within(load.self)
	if p.k.host.Real {
		p.random = realRandom()
	} else {
		p.random = seeded(p.args, p.cwd)
	}
	if load.mod.scan.posix() {
		p.exe = load.exe
		return
	}
	// Other programs find directories from descriptor 3 on, and inherit only their standard streams.
	for i, f := range p.fds {
		if i > 2 && f != nil {
			_ = p.closeFD(uint64(i))
		}
	}
	for len(p.fds) < 3 {
		p.fds = append(p.fds, nil)
	}
	p.fds = p.fds[:3]
	for i := range p.fds {
		if p.fds[i] == nil {
			p.fds[i] = &fd{opened: opened{file: &device{name: "null"}}, read: true, write: true}
		}
	}
	p.lowest = 3
	// What such a program does depends on nothing that the processes before it did: neither how often they looked at the clock, nor how much
	// is in the file that is its output.
	if !p.clock.real {
		p.clock.mono = int64(sinceAge)
		for i, f := range p.fds {
			// make gives the real input to one program at a time.
			if _, device := f.file.(*device); !device || i == 0 {
				f.file = &stdFile{file: f.file, p: p, n: i}
				f.write = f.write && i > 0
			}
		}
	}
	p.env = append(slices.Clip(withoutPWD(p.env)), "PWD="+p.cwd)
	p.preopenAll()
}

// execChild is nuka.exec in a kernel: it starts a child and waits for its end.
func (p *proc) execChild(m memory, a []uint64) errno {
	if w := p.resumed; w != nil {
		if e, ended := p.childEnded(m, a[7], w.child); ended {
			return e
		}
		return p.wait(w)
	}
	c, std, e := execCommand(p, m, a)
	if e != eOK {
		return e
	}
	if e := m.put32(a[7], 0); e != eOK { // fails before the program runs
		return e
	}
	load, err := p.k.host.resolve(p.ctx, p.fs, c.Args, c.Env, c.Dir)
	if err == nil {
		err = load.runnable(p.k.host)
	}
	if err != nil {
		if c.Stderr != nil {
			fmt.Fprintf(c.Stderr, "nuka: %v\n", err)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return eNoent
		}
		return eNoexec
	}
	child, e := p.child()
	if e != eOK {
		load.release()
		return e
	}
	child.cwd = c.Dir
	child.inherit(std)
	w := &waiting{what: fmt.Sprintf("waits for %s (pid %d)", load.name(), child.pid), limit: -1, child: child, ready: func() bool { return child.exited }}
	k := p.k
	k.mu.Lock()
	child.handled, child.pending = 0, 0
	k.start(&image{k: k}, child, load)
	k.mu.Unlock()
	return p.wait(w)
}

// inherit replaces the descriptors of a process by three streams.
func (p *proc) inherit(std [3]*lent) {
	old := p.fds
	p.fds = nil
	for i, l := range std {
		if l != nil {
			p.put(i, l.fd.dup())
		}
	}
	for _, f := range old {
		if f != nil {
			_ = f.release()
		}
	}
	p.lowest = 0
}

// childEnded removes a child that has ended, and returns its exit code as nuka.exec does.
func (p *proc) childEnded(m memory, result uint64, child *proc) (errno, bool) {
	k := p.k
	k.mu.Lock()
	defer k.mu.Unlock()
	if !child.exited {
		return eOK, false
	}
	if i := slices.Index(p.children, child); i >= 0 { // wait may have removed it
		p.children = slices.Delete(p.children, i, i+1)
		k.forget(child)
	}
	code := child.status >> 8
	if sig := child.status & 0x7f; sig != 0 {
		code = 128 + sig
	}
	return m.put32(result, uint32(code)), true
}
