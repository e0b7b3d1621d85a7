package wasmrt

import (
	"errors"
	"strings"
	"testing"
)

// TestForkBomb runs processes that fork for ever, however often it fails.
func TestForkBomb(t *testing.T) {
	a := &asm{}
	a.loop(func() { a.call("fork").drop() })
	_, _, err := runAsm(t, &Host{Limits: Limits{Total: 20_000, Processes: 200}}, a.module("x"))
	wantLimit(t, err, "more than 20000 programs were run")
}

// TestExecBomb runs a process that runs itself for ever.
func TestExecBomb(t *testing.T) {
	a := &asm{}
	a.loop(func() { a.i32(0).i32(9).i32(16).i32(3).i32(0).i32(0).call("exec2").exit() })
	_, _, err := runAsm(t, &Host{Limits: Limits{Total: 300}}, a.module("/p/bin/it\x00\x00\x00\x00\x00\x00\x00it\x00"))
	wantLimit(t, err, "more than 300 programs were run")
}

func wantLimit(t *testing.T, err error, want string) {
	t.Helper()
	var limit *LimitError
	if !errors.As(err, &limit) || limit.What != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

// TestProcessLimit forks children that wait until forking fails. Zombies count, and their numbers are free after wait.
func TestProcessLimit(t *testing.T) {
	a := &asm{}
	a.loop(func() {
		a.call("fork").set(0).get(0).op(0x45).when(func() { a.i32(0).exit() })
		a.get(0).i32(0).op(0x48).when(func() { // failed
			a.get(0).i32(-6).op(0x47).when(func() { a.i32(255).exit() })
			a.i32(-1).i32(0).i32(128).call("wait").drop()
			a.call("fork").set(0).get(0).op(0x45).when(func() { a.i32(0).exit() })
			a.get(0).i32(0).op(0x48).when(func() { a.i32(254).exit() })
			a.get(1).exit()
		})
		a.add(1, 1)
	})
	h := &Host{Limits: Limits{Processes: 100}}
	if exit, out, err := runAsm(t, h, a.module("x")); exit != 99 || err != nil {
		t.Errorf("got %d children, %q, %v, want 99", exit, out, err)
	}
	if n := h.live.Load(); n != 0 {
		t.Errorf("%d processes are left", n)
	}
}

// TestAncestorLimit forks children of children. Each returns the number of its descendants.
func TestAncestorLimit(t *testing.T) {
	a := &asm{}
	a.loop(func() {
		a.call("fork").set(0)
		a.get(0).i32(0).op(0x48).when(func() { a.i32(0).exit() })
		a.get(0).when(func() {
			a.i32(-1).i32(0).i32(128).call("wait").drop()
			a.i32(132).op(0x28, 2, 0).i32(8).op(0x76).i32(1).op(0x6a).exit()
		})
	})
	if exit, out, err := runAsm(t, &Host{Limits: Limits{Ancestors: 60}}, a.module("x")); exit != 60 || err != nil {
		t.Errorf("got %d, %q, %v, want 60", exit, out, err)
	}
}

// TestSleepingForks forks a thousand children that sleep. Their states count as memory.
func TestSleepingForks(t *testing.T) {
	a := &asm{}
	a.loop(func() {
		a.call("fork").set(0)
		a.get(0).op(0x45).when(func() { a.i64(0).call("sigsuspend").drop() })
		a.get(0).i32(0).op(0x48).when(func() {
			a.get(0).i32(-48).op(0x47).when(func() { a.i32(255).exit() })
			a.get(1).i32(10).op(0x6d).exit() // tenths
		})
		a.add(1, 1)
		a.get(1).i32(1000).op(0x46).when(func() { a.i32(100).exit() })
	})
	code := a.module(strings.Repeat("x", 60_000))
	for _, c := range []struct {
		memory    int64
		low, high int
	}{{200 << 20, 100, 100}, {32 << 20, 30, 48}} {
		h := &Host{Limits: Limits{Processes: 2000, TotalMemory: c.memory}}
		exit, out, err := runAsm(t, h, code)
		if exit < c.low || exit > c.high || err != nil {
			t.Errorf("with %d MiB: got %d0 children, %.200q, %v, want %d0 to %d0", c.memory>>20, exit, out, err, c.low, c.high)
		}
		if n := h.budget.used.Load(); n != 0 {
			t.Errorf("with %d MiB: %d bytes are still counted", c.memory>>20, n)
		}
	}
}

// TestJumpBomb notes a place for longjmp at each address.
func TestJumpBomb(t *testing.T) {
	a := &asm{}
	a.loop(func() { a.get(0).call("setjmp").drop().add(0, 1) })
	h := &Host{Limits: Limits{TotalMemory: 64 << 20}}
	exit, _, err := runAsm(t, h, a.module("x"))
	if exit != ExitTrap || err == nil || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("got %d, %v", exit, err)
	}
	if n := h.budget.used.Load(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
}

// TestPipeLimit makes pipes until it fails, in as many processes as that takes.
func TestPipeLimit(t *testing.T) {
	a := &asm{}
	a.loop(func() {
		a.i32(128).call("pipe").set(0)
		a.get(0).i32(33).op(0x46).when(func() { // this process has no descriptor left
			a.call("fork").when(func() { a.i64(0).call("sigsuspend").drop() })
			// The parent has the pipes open still.
			a.i32(3).set(2)
			a.loop(func() { a.get(2).call("fd_close").drop().add(2, 1).get(2).i32(maxOpen).op(0x46, 0x0d, 1) })
		})
		a.get(0).i32(41).op(0x46).when(func() { a.i32(1).i32(0).i32(1).i32(128).call("fd_write").drop().i32(0).exit() })
	})
	// When the last one has ended, all others wait for a signal that never comes.
	_, out, err := runAsm(t, &Host{}, a.module("\x08\x00\x00\x00\x01\x00\x00\x00F"))
	var dead *DeadlockError
	if !errors.As(err, &dead) || out != "F" {
		t.Errorf("got %q, %v, want F, and that all wait", out, err)
	}
}

// TestTraps checks that a trap in a child is the child's signal, and that the processes go on with which it shares its memory.
func TestTraps(t *testing.T) {
	for name, c := range map[string]struct {
		trap   func(a *asm)
		signal int
		text   string
	}{
		"unreachable": {func(a *asm) { a.op(0x00) }, 6, "aborted (unreachable code)"},
		"division":    {func(a *asm) { a.i32(1).i32(0).op(0x6d).drop() }, 8, "integer divide by zero"},
		"memory":      {func(a *asm) { a.i32(-4).op(0x28, 2, 0).drop() }, 11, "out of bounds memory access"},
		"recursion":   {func(a *asm) { a.i32(200).i32(1).op(0x36, 2, 0).op(0x10).unsigned(3) }, 11, "stack overflow: functions call each other too deep"},
	} {
		a := &asm{}
		a.i32(200).op(0x28, 2, 0).when(func() { a.op(0x10).unsigned(3) }) // _start, after three imports
		a.call("fork").set(0)
		a.get(0).op(0x45).when(func() { c.trap(a) })
		a.get(0).i32(0).i32(128).call("wait").drop()
		a.i32(132).op(0x28, 2, 0).exit()
		exit, out, err := runAsm(t, &Host{}, a.module("x"))
		if exit != c.signal || err != nil || !strings.Contains(out, c.text) {
			t.Errorf("%s: got %d, %q, %v, want %d and %q", name, exit, out, err, c.signal, c.text)
		}
	}
}
