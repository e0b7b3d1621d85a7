package main

import (
	"fmt"
	"strings"
	"unsafe"
)

//go:wasmimport nuka exec
//go:noescape
func nukaExec(argv unsafe.Pointer, argvLen uint32, env unsafe.Pointer, envLen uint32, cwd unsafe.Pointer, cwdLen uint32, fds, status unsafe.Pointer) uint32

// exec runs a program through nuka and waits for it.
func exec(argv ...string) error {
	args := []byte(strings.Join(argv, "\x00") + "\x00")
	var status uint32
	e := nukaExec(unsafe.Pointer(&args[0]), uint32(len(args)), nil, 0, nil, 0, nil, unsafe.Pointer(&status))
	if e != 0 || status != 0 {
		return fmt.Errorf("exec %s: error %d, exit code %d", argv[0], e, status)
	}
	return nil
}
