//go:build !unix

package main

import "os/exec"

// detach does nothing: on this platform a process outlives its parent.
func detach(*exec.Cmd) {}
