//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// alive reports whether a process has not ended. A zombie, whose parent has not waited for it, counts as ended.
func alive(pid int, _ string) bool {
	if pid <= 0 {
		return false
	}
	if err := unix.Kill(pid, 0); err != nil {
		return errors.Is(err, unix.EPERM)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // Linux; on other systems init reaps it
	return err != nil || !bytes.Contains(stat, []byte(") Z "))
}

// interrupt asks a process to end. A second call ends it at once.
func interrupt(pid int) error { return unix.Kill(pid, unix.SIGTERM) }

// exitStatus returns the exit code of a program that ended, as a shell reports it: 128 and the number of the signal that ended it.
func exitStatus(e *exec.ExitError) int {
	if status, ok := e.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return e.ExitCode()
}
