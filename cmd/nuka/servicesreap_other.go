//go:build !linux

package main

import (
	"os"
	"os/exec"
)

// becomeReaper does nothing: a process that left its process group outlives its service on this system.
func becomeReaper() (reap func()) { return func() {} }

func killBelow(int) {}

// apart does nothing: the program stays in the group of this process, by which it gets signals, and is killed.
func apart(*exec.Cmd) {}

func passOn(*exec.Cmd, os.Signal) {}
