//go:build !unix

package main

import (
	"context"
	"os"
	"os/exec"

	"github.com/MordragT/nuka/node/control"
)

// alive reports whether the daemon of a folder listens on its socket, because this platform offers no check by process number.
func alive(_ int, run string) bool {
	_, err := control.Process(context.Background(), run)
	return err == nil
}

// interrupt ends a process at once.
func interrupt(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

// exitStatus returns the exit code of a program that ended.
func exitStatus(e *exec.ExitError) int { return e.ExitCode() }
