package sandbox

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// caught is the signals of this process while a program runs in the foreground.
type caught struct {
	swallowed, passed chan os.Signal
	done, ended       chan struct{}
}

// catchSignals takes over the signals, before the program starts: a terminal may send one at any time. What is ignored stays ignored.
func catchSignals() *caught {
	c := &caught{swallowed: make(chan os.Signal, 1), passed: make(chan os.Signal, 16), done: make(chan struct{})}
	notify := func(to chan os.Signal, list ...os.Signal) {
		for _, s := range list {
			if !signal.Ignored(s) {
				signal.Notify(to, s)
			}
		}
	}
	notify(c.swallowed, syscall.SIGINT, syscall.SIGQUIT)
	notify(c.passed, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)
	return c
}

// relay passes on signals to the program until release is called, beginning with those that came before.
func (c *caught) relay(p *Process) {
	c.ended = make(chan struct{})
	go func() {
		defer close(c.ended)
		for {
			select {
			case s := <-c.passed:
				_ = p.Signal(s)
			case <-c.done:
				return
			}
		}
	}()
}

// release gives the signals back.
func (c *caught) release() {
	signal.Stop(c.swallowed)
	signal.Stop(c.passed)
	close(c.done)
	if c.ended != nil {
		<-c.ended
	}
}

// keepTerminal returns a function that makes this process's group the foreground group of its terminal again, if it is now: a shell inside
// makes other groups so, and cannot name the group that was so before, which is outside.
func keepTerminal() (restore func()) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return func() {}
	}
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	if err != nil || group != syscall.Getpgrp() {
		tty.Close()
		return func() {}
	}
	return func() {
		defer tty.Close()
		if now, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP); err == nil && now != group {
			// A group in the background that does this is stopped, unless it ignores the signal.
			if !signal.Ignored(syscall.SIGTTOU) {
				signal.Ignore(syscall.SIGTTOU)
				defer signal.Reset(syscall.SIGTTOU)
			}
			_ = unix.IoctlSetPointerInt(int(tty.Fd()), unix.TIOCSPGRP, group)
		}
	}
}

// stopSelf stops this process until somebody continues it. The signal stops all threads soon, not at once: this one waits for the end of the stop.
func stopSelf() {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	<-continued
}
