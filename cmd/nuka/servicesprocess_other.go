//go:build !unix

package main

import (
	"errors"
	"os"
	"os/exec"
)

var passedSignals = []os.Signal{os.Interrupt}

func closeOnExec(int) {}

func onReload() (<-chan struct{}, func()) { return nil, func() {} }

func limitFiles(int) error { return errors.New("this system has no limit of open files") }

// becomeProgram runs the program: this system cannot replace a process.
func becomeProgram(_ int, _ int64, command []string) error {
	c := exec.Command(command[0], command[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	return c.Run()
}
