package wasmrt

import "sync"

// hostSignals are the signals that a terminal and a service manager send: SIGHUP, SIGINT and SIGTERM.
const hostSignals = 1<<1 | 1<<2 | 1<<15

// kernels are those of the commands that run now.
type kernels struct {
	mu   sync.Mutex
	list map[*kernel]bool
}

// add adds a kernel whose first process is there, until the caller calls done.
func (s *kernels) add(k *kernel) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = map[*kernel]bool{}
	}
	s.list[k] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.list, k)
	}
}

// Signal passes a signal of this process, by its number, to the programs that run: those of a command whose first program handles, blocks or ignores it all get it,
// as the processes in the foreground of a terminal do. It reports whether there is such a command. If there is none, or if its first program has not looked at the last one
// yet, the signal is left to the caller, who ends this process: no program can make itself immortal by computing.
//
// Only SIGHUP (1), SIGINT (2) and SIGTERM (15) are passed on, by a host whose Signals is set.
func (h *Host) Signal(number int) (taken bool) {
	if !h.Signals || number < 0 || number > maxSignal || hostSignals&(1<<number) == 0 {
		return false
	}
	h.kernels.mu.Lock()
	defer h.kernels.mu.Unlock()
	for k := range h.kernels.list {
		if k.signal(uint(number)) {
			taken = true
		}
	}
	return taken
}

// Unanswered reports whether a program that took a signal has not looked at it yet.
func (h *Host) Unanswered(number int) bool {
	h.kernels.mu.Lock()
	defer h.kernels.mu.Unlock()
	for k := range h.kernels.list {
		k.mu.Lock()
		waits := k.root.pending&(1<<uint(number)) != 0 && !k.root.exited
		k.mu.Unlock()
		if waits {
			return true
		}
	}
	return false
}

func (k *kernel) signal(number uint) (taken bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	bit := uint64(1) << number
	if r := k.root; r.exited || (r.handled|r.blocked|r.ignored)&bit == 0 || r.pending&bit != 0 {
		return false
	}
	for _, p := range k.procs {
		p.send(number)
	}
	return true
}
