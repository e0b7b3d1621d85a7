//go:build !unix

package main

import "time"

// maxRSS returns 0, because this system does not report it.
func maxRSS(any) int64 { return 0 }

// selfCPU returns 0, because this system does not report it.
func selfCPU() time.Duration { return 0 }
