//go:build !unix

package main

import "os/exec"

// ownGroup does nothing: this system has no process groups.
func ownGroup(*exec.Cmd) {}

// signalGroup ends the process: this system has no signals.
func signalGroup(c *exec.Cmd, _ string) error { return c.Process.Kill() }

func killGroup(c *exec.Cmd) error { return c.Process.Kill() }
