//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// inherited bounds the file descriptor numbers that detach treats as possibly inherited from this process's parent.
const inherited = 1024

// detach lets a process outlive this one and its terminal. The process does not inherit the descriptors that this process was started with:
// otherwise it would hold a pipe or a terminal open for as long as it runs, and the reader of that pipe would wait until it ends.
func detach(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	for fd := 3; fd < inherited; fd++ {
		syscall.CloseOnExec(fd) // has no effect on a number that is not open
	}
}
