//go:build unix

package deploy

import (
	"os/exec"
	"syscall"
)

// apart keeps the terminal's Ctrl-C from a launcher: the supervisor stops it.
func apart(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
