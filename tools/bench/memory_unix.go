//go:build unix

package main

import (
	"runtime"
	"syscall"
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
