//go:build !unix

package main

import "os"

var terminate os.Signal = os.Kill

// endSignals are the signals that end a program by themselves.
var endSignals = []os.Signal{os.Interrupt}

// number returns the number of a signal in endSignals, as other systems have it.
func number(os.Signal) int { return 2 }

// endBy ends this process as Ctrl-C does.
func endBy(os.Signal) { os.Exit(128 + 2) }
