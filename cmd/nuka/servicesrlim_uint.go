//go:build unix && !freebsd && !dragonfly

package main

// rlim is a number as limits of processes have it here.
func rlim[N int | int64](n N) uint64 { return uint64(n) }
