//go:build freebsd || dragonfly

package main

// rlim is a number as limits of processes have it here.
func rlim[N int | int64](n N) int64 { return int64(n) }
