package main

// getpid386 makes the call getpid through the entry of 32-bit programs.
func getpid386() int
