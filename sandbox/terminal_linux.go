package sandbox

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// relay passes on signals to the program until stop is called.
func (p *Process) relay() (stop func()) {
	swallowed := make(chan os.Signal, 1)
	passed := make(chan os.Signal, 16)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		if !signal.Ignored(s) {
			signal.Notify(swallowed, s)
		}
	}
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2} {
		if !signal.Ignored(s) {
			signal.Notify(passed, s)
		}
	}
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case s := <-passed:
				_ = p.Signal(s)
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(swallowed)
		signal.Stop(passed)
		close(done)
		<-ended
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
