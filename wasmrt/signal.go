package wasmrt

import "errors"

// Numbers of signals, those of Linux.
const (
	sigill  = 4
	sigabrt = 6
	sigfpe  = 8
	sigkill = 9
	sigsegv = 11
	sigchld = 17
	sigcont = 18
	sigstop = 19
	sigttou = 22
	sigurg  = 23
	sigwich = 28
	// maxSignal is the largest number that the sets of signals have room for.
	maxSignal = 63
)

// Signals are never asynchronous. A signal with a handler waits until the library asks for it, which it does after calls that wait; it also ends such a
// wait. A signal without one ends the process at its next call.

// deliverable reports whether a signal with a handler came. The caller holds k.mu.
func (p *proc) deliverable() bool { return p.pending&p.handled&^p.blocked != 0 }

// harmless reports whether a signal without a handler changes nothing. There is no job control, so nothing stops a process.
func harmless(sig uint) bool {
	return sig == sigchld || sig == sigcont || sig == sigurg || sig == sigwich || sig > sigstop && sig <= sigttou
}

// send gives a process a signal. The caller holds k.mu.
func (p *proc) send(sig uint) {
	bit := uint64(1) << sig
	switch {
	case p.exited, sig != sigkill && p.ignored&bit != 0:
	case sig != sigkill && (p.handled|p.blocked)&bit != 0:
		p.pending |= bit
		p.k.wake()
	case harmless(sig):
	default:
		p.end(int(sig))
	}
}

// end makes a signal end a process. The caller holds k.mu.
func (p *proc) end(sig int) {
	if p.killed == 0 {
		p.killed = sig
	}
	if p.img != nil {
		p.img.news.Store(true)
	}
	p.k.wake()
}

// enterImage makes an image the one that the process is in, and that a signal tells when it ends the process. The caller holds k.mu.
func (p *proc) enterImage(img *image) {
	p.img = img
	if p.killed != 0 { // meanwhile
		img.news.Store(true)
	}
}

// killCall sends a signal to a process of the same kernel. There are no process groups.
//
//	kill(pid, signal) errno
func killCall(p *proc, _ memory, a []uint64) errno {
	pid, sig := int(int32(a[0])), uint(uint32(a[1]))
	if sig > maxSignal {
		return eInval
	}
	k := p.k
	k.mu.Lock()
	defer k.mu.Unlock()
	q := k.procs[pid]
	if pid <= 0 || q == nil {
		return eSrch
	}
	if sig == sigstop {
		return eNotsup
	}
	if sig != 0 {
		q.send(sig)
	}
	return eOK
}

// signals is the call by which the library manages the signals of its process.
//
//	signals(op, value) value
//
// Op 0 takes the next signal to handle. 1, 2 and 3 set those that are handled, ignored and blocked; 4 reads those that wait, 5 those that are ignored.
func (p *proc) signals(op uint32, value uint64) uint64 {
	k := p.k
	k.mu.Lock()
	defer k.mu.Unlock()
	switch op {
	case 0:
		for s := uint(1); s <= maxSignal; s++ {
			if bit := uint64(1) << s; p.pending&p.handled&^p.blocked&bit != 0 {
				p.pending &^= bit
				return uint64(s)
			}
		}
	case 1, 2, 3:
		switch op {
		case 1:
			p.handled = value
		case 2:
			p.ignored = value
			p.pending &^= value
		case 3:
			p.blocked = value &^ (1 << sigkill)
		}
		for s := uint(1); s <= maxSignal; s++ { // signals that waited and have no handler
			if bit := uint64(1) << s; p.pending&^p.blocked&^p.handled&bit != 0 {
				p.pending &^= bit
				p.send(s)
			}
		}
	case 4:
		return p.pending
	case 5:
		return p.ignored
	}
	return 0
}

// sigsuspendCall waits for a signal that has a handler and is not in the mask, which becomes the set of blocked signals.
//
//	sigsuspend(mask) errno
func sigsuspendCall(p *proc, _ memory, a []uint64) errno {
	k := p.k
	k.mu.Lock()
	defer k.mu.Unlock()
	p.blocked = a[0] &^ (1 << sigkill)
	if p.deliverable() {
		return eIntr
	}
	outside := k.host.Signals && p == k.root && p.handled&hostSignals != 0
	return p.wait(&waiting{what: "waits for a signal", limit: -1, outside: outside, ready: func() bool { return false }})
}

// trapReason returns what the error of a trap says, without the name of the program.
func trapReason(err error) string {
	var t *TrapError
	if errors.As(err, &t) {
		return t.Reason
	}
	return err.Error()
}
