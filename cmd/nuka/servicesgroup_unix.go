//go:build unix

package main

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownGroup gives the process of a command a process group of its own.
func ownGroup(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// signalGroup sends a signal, such as TERM, to the group of a command.
func signalGroup(c *exec.Cmd, name string) error {
	return unix.Kill(-c.Process.Pid, unix.SignalNum("SIG"+name))
}

func killGroup(c *exec.Cmd) error { return unix.Kill(-c.Process.Pid, unix.SIGKILL) }
