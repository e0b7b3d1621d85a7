//go:build unix

package main

import (
	"runtime"
	"syscall"
	"time"
)

// maxRSS returns the largest resident memory of a process that has ended, in bytes.
// It includes the memory that this process had when it started the child, which is little.
func maxRSS(usage any) int64 {
	u, ok := usage.(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return int64(u.Maxrss)
	}
	return int64(u.Maxrss) << 10
}

// selfCPU returns the processor time of this process, without its children.
func selfCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
