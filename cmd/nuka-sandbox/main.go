// Nuka-sandbox is the launcher of package sandbox: the first process inside a sandbox. It builds the tree, gives up its rights, runs the program and
// collects orphans. It also runs what nuka has prepared, outside: both start in a third of the time of nuka. Users do not call it.
package main

import (
	"os"

	"github.com/MordragT/nuka/foreign/prepared"
	"github.com/MordragT/nuka/internal/early"
	"github.com/MordragT/nuka/sandbox/inside"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == early.Mode {
		os.Exit(prepared.Main(os.Args[2:]))
	}
	os.Exit(inside.Main(os.Args))
}
