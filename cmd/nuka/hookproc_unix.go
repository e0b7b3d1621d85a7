//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// alone lets a program, and what it has started, be ended together: they are a process group.
func alone(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
}
