//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

var terminate os.Signal = syscall.SIGTERM

// endSignals are the signals that end a program by themselves, without those that this process was started to ignore, as nohup does.
var endSignals = heard(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)

func heard(all ...os.Signal) (out []os.Signal) {
	for _, s := range all {
		if !signal.Ignored(s) {
			out = append(out, s)
		}
	}
	return out
}

// number returns the number of a signal, which is the same on all systems for those in endSignals.
func number(s os.Signal) int {
	n, _ := s.(syscall.Signal)
	return int(n)
}

// endBy ends this process by a signal, as if nothing had caught it.
func endBy(s os.Signal) {
	signal.Reset(s)
	n, _ := s.(syscall.Signal)
	if n != syscall.SIGPIPE && unix.Kill(os.Getpid(), n) == nil {
		select {} // the signal is on its way
	}
	os.Exit(128 + int(n)) // a broken pipe: Go ends by that signal only while it writes
}
