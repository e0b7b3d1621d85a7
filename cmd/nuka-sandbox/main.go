// Nuka-sandbox is the launcher of package sandbox: the first process inside a sandbox. It builds the tree, gives up its rights, runs the program and
// collects orphans. It is a program of its own because it starts in a third of the time of nuka. Users do not call it.
package main

import (
	"os"

	"github.com/MordragT/nuka/sandbox/inside"
)

func main() { os.Exit(inside.Main(os.Args)) }
