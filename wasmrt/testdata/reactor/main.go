// Reactor is a module that answers calls, for the tests.
package main

import (
	"os"
	"strings"
	"time"
	"unsafe"
)

var keep = map[uint32][]byte{}

//go:wasmexport nk_alloc
func alloc(n uint32) uint32 {
	b := make([]byte, n+1)
	p := uint32(uintptr(unsafe.Pointer(&b[0])))
	keep[p] = b
	return p
}

//go:wasmexport nk_free
func free(p, n uint32) { delete(keep, p) }

//go:wasmimport nuka host
func host(p, n uint32) uint64

func give(s string) uint64 {
	p := alloc(uint32(len(s)))
	copy(keep[p], s)
	return uint64(p)<<32 | uint64(len(s))
}

var calls int

//go:wasmexport nk_call
func call(p, n uint32) uint64 {
	calls++
	req := string(keep[p][:n])
	name, rest, _ := strings.Cut(req, " ")
	switch name {
	case "echo":
		return give(rest)
	case "calls":
		return give(strings.Repeat("x", calls))
	case "kept":
		return give(strings.Repeat("x", len(keep)))
	case "host":
		r := give(rest)
		a := host(uint32(r>>32), uint32(r))
		free(uint32(r>>32), uint32(r))
		s := string(keep[uint32(a>>32)][:uint32(a)])
		free(uint32(a>>32), uint32(a))
		return give("host says " + s)
	case "cat":
		b, err := os.ReadFile(rest)
		if err != nil {
			return give(err.Error())
		}
		return give(string(b))
	case "loop":
		for {
			calls++
		}
	case "sleep":
		time.Sleep(time.Hour)
		return give("slept")
	case "grow":
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			b[1000] = 1
			all = append(all, b)
			_ = all
		}
	case "exit":
		os.Exit(5)
	case "panic":
		panic("no")
	case "deep":
		return give(strings.Repeat("x", deep(1<<40)))
	case "lie":
		return 0xfffffff0_0000ffff
	}
	return give("?")
}

func deep(n int) int {
	if n == 0 {
		return 0
	}
	return deep(n-1) + 1
}

func main() {}
