//go:build !amd64

package main

func getpid386() int { return -1 }
