//go:build unix

package main

import (
	"runtime"
	"syscall"
)

// maxRSS is the largest resident memory of a process that has ended, in bytes.
// A child counts from what this process had when it was started, which is little.
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
