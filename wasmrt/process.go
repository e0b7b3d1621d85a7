package wasmrt

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	mathrand "math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

// process is the part of a proc that belongs to a kernel; k is nil in a program that runs without one.
// The goroutine of its image owns a process. Fields below the line are guarded by k.mu.
type process struct {
	k      *kernel
	pid    int
	depth  int    // number of ancestors
	seed   uint64 // derived from the one of its parent
	forked uint64 // children that it has had
	exe    string // the path of its module, without links
	saved  *saved // its state while another process of its image runs
	jumps  jumps
	// reserved is how many bytes of the kernel's states belong to it.
	reserved int64

	// waits is what the call waits for that it is in, nil if the process can run. Its image's goroutine sets it, and other goroutines read it under
	// k.mu while this image waits.
	waits *waiting
	// resumed is set while a call is made again: the wait that has ended.
	resumed *waiting

	// ——
	img      *image
	parent   *proc
	children []*proc // in the order of their start, until they have been waited for
	exited   bool
	status   int    // of an exited process, as waitpid has it
	killed   int    // the signal that ends it at its next call
	pending  uint64 // signals that wait to be handled
	handled  uint64 // signals that have a handler
	ignored  uint64
	blocked  uint64
	// lifelines are pipes that nobody writes to, and that end with the process; see pidfdCall.
	lifelines []*pipe
}

// A waiting says what a call waits for.
type waiting struct {
	// ready reports whether the call can go on. It is called with k.mu held and changes nothing.
	ready func() bool
	what  string // for the error of a deadlock: "reads from a pipe"
	pipe  *pipe  // which one; nil for none
	// outside says that the wait may end by something that no process does.
	outside bool
	// limit is how long the call waits at most, negative for ever; until is the time when it ends with the real clock. expired says that it has.
	// With the fixed clock a limit passes when no process can run.
	limit   time.Duration
	until   time.Time
	expired bool
	// done counts the bytes that a write has put into its pipe, and result is where the call returns their number.
	done   int
	result uint64
	child  *proc // of nuka.exec
	// hostReady tells which files of the host need not wait, and cancel ends what watches them; nil for nothing.
	hostReady map[awaited]bool
	cancel    func()
}

// over reports whether the call can go on, or its time has passed. The caller holds k.mu.
func (w *waiting) over() bool { return w.ready() || w.timedOut() }

// wait is the result of a call that has to wait.
func (p *proc) wait(w *waiting) errno {
	p.waits = w
	return eBlock
}

// runnable reports whether the process can go on. The caller holds k.mu.
func (p *proc) runnable() bool { return p.waits == nil || p.waits.over() || p.deliverable() }

// child returns a copy of a process with new descriptors for the same open files, for fork and spawn.
func (p *proc) child() (*proc, errno) {
	k := p.k
	if e := k.count(); e != eOK {
		return nil, e
	}
	if p.depth >= k.host.Limits.Ancestors {
		k.host.live.Add(-1)
		return nil, eAgain
	}
	c := &proc{ctx: p.ctx, name: p.name, fs: p.fs, cwd: p.cwd, env: p.env, args: p.args, golang: p.golang, clock: p.clock, lowest: p.lowest}
	c.exe = p.exe
	c.fds = make([]*fd, len(p.fds))
	for i, f := range p.fds {
		if f != nil {
			c.fds[i] = f.dup()
			c.fds[i].cloexec = f.cloexec
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.adopt(c, p)
	c.handled, c.ignored, c.blocked = p.handled, p.ignored, p.blocked
	c.random = k.random(p.args, p.cwd, c.seed)
	return c, eOK
}

// count accounts for one more process. If there are too many at the same time, fork fails. If there were too many in all, all processes end.
func (k *kernel) count() errno {
	h := k.host
	if err := h.countProgram(); err != nil {
		k.halt(err)
		return eAgain
	}
	if h.live.Add(1) > int64(h.Limits.Processes) {
		h.live.Add(-1)
		k.record.spoil("there were too many processes")
		return eAgain
	}
	return eOK
}

// random returns the random numbers of a forked process. They differ from those of its parent and of the parent's other children.
func (k *kernel) random(args []string, cwd string, seed uint64) io.Reader {
	if k.host.Real {
		return realRandom()
	}
	h := sha256.New()
	_, _ = io.WriteString(h, strings.Join(args, "\x00")+"\x00"+cwd)
	_ = binary.Write(h, binary.LittleEndian, seed) // neither fails
	return mathrand.NewChaCha8([32]byte(h.Sum(nil)))
}

// discard takes back a child that could not be started.
func (p *proc) discard() {
	p.closeAll()
	k := p.k
	k.mu.Lock()
	defer k.mu.Unlock()
	siblings := p.parent.children
	p.parent.children = siblings[:len(siblings)-1] // it was the last
	p.exited = true
	k.forget(p)
}

// finish closes the files of a process and makes it a zombie, with a status as waitpid has it.
func (p *proc) finish(status int) {
	p.closeAll()
	k := p.k
	k.mu.Lock()
	defer k.mu.Unlock()
	if p.exited {
		return
	}
	p.exited, p.status, p.waits = true, status, nil
	for _, q := range p.lifelines {
		q.drop(&q.writers)
	}
	p.lifelines = nil
	for _, c := range p.children {
		c.parent = nil
		if c.exited {
			k.forget(c)
		}
	}
	p.children = nil
	if p == k.root {
		k.haltLocked(nil)
	}
	if p.parent != nil {
		p.parent.send(sigchld)
	} else {
		k.forget(p)
	}
	k.wake()
}

// closeOnExec closes the descriptors that the next program does not inherit.
func (p *proc) closeOnExec() {
	for i, f := range p.fds {
		if f != nil && f.cloexec {
			_ = p.closeFD(uint64(i))
		}
	}
}

// put makes f the descriptor n, and closes what n was.
func (p *proc) put(n int, f *fd) {
	for len(p.fds) <= n {
		p.fds = append(p.fds, nil)
	}
	if p.fds[n] != nil {
		_ = p.closeFD(uint64(n))
	}
	p.fds[n] = f
	p.lowest = 0
}

// shared counts the descriptors of one open file, in all processes.
type shared struct{ refs atomic.Int32 }

// dup returns another descriptor for the same open file, for any process.
func (f *fd) dup() *fd {
	c := f.again()
	if s, ok := c.file.(*stdFile); ok { // it is one process's view of the file
		c.file = s.file
	}
	return c
}

// again returns another descriptor for the same open file, for the same process.
func (f *fd) again() *fd {
	if f.shared == nil {
		f.shared = &shared{}
		f.shared.refs.Store(1)
	}
	f.shared.refs.Add(1)
	c := *f
	c.cloexec = false
	c.list, c.listed = nil, false
	return &c
}

// release closes the open file if no other descriptor has it.
func (f *fd) release() errno {
	if f.borrowed || f.shared != nil && f.shared.refs.Add(-1) > 0 {
		return eOK
	}
	return f.close()
}
