//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// inherited is up to which number descriptors are looked for that this process was started with.
const inherited = 1024

// detach lets a process outlive this one and its terminal. It does not get the descriptors that this process was started with: it would
// hold a pipe or a terminal open for as long as it runs, and whoever reads there would wait for its end.
func detach(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	for fd := 3; fd < inherited; fd++ {
		syscall.CloseOnExec(fd) // of those that are not open it does nothing
	}
}
