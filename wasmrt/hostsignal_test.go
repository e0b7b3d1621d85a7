package wasmrt

import (
	"context"
	"errors"
	"testing"
	"time"
)

// waitsForSignal is a program that handles a signal, and whose exit code is the number of the one that came.
func waitsForSignal(handled int64, body func(a *asm)) []byte {
	a := &asm{}
	a.i32(1).i64(handled).call("signals").drop()
	body(a)
	a.i32(0).i64(0).call("signals").op(0xa7).exit() // its lower 32 bits
	return a.module("x")
}

// A program that handles a signal gets it from the host. Others do not, and the host is told so.
func TestHostSignal(t *testing.T) {
	suspend := func(a *asm) { a.i64(0).call("sigsuspend").drop() }
	type result struct {
		exit int
		err  error
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	start := func(h *Host, code []byte) chan result {
		asmFiles(t, h, code)
		ended := make(chan result, 1)
		go func() {
			exit, err := h.Exec(ctx, &Command{Args: []string{"it"}, Dir: "/d", Env: []string{}})
			ended <- result{exit, err}
		}()
		return ended
	}
	until := func(h *Host, number int) bool {
		for range 500 {
			if h.Signal(number) {
				return true
			}
			time.Sleep(10 * time.Millisecond)
		}
		return false
	}
	rt, err := New(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(t.Context())

	h := &Host{Runtime: rt, Real: true, Signals: true}
	ended := start(h, waitsForSignal(1<<15, suspend))
	if !until(h, 15) {
		t.Error("the program did not take SIGTERM")
	}
	if r := <-ended; r.exit != 15 || r.err != nil {
		t.Errorf("got %d, %v", r.exit, r.err)
	}
	if h.Signal(15) {
		t.Error("a program that has ended takes signals")
	}

	// A child without a handler ends, and its parent does not.
	h = &Host{Runtime: rt, Real: true, Signals: true}
	ended = start(h, waitsForSignal(1<<2, func(a *asm) {
		a.call("fork").set(0)
		a.get(0).op(0x45).when(func() {
			a.i32(1).i64(0).call("signals").drop()
			a.loop(func() { a.call("sched_yield").drop() })
		})
		suspend(a)
		a.get(0).i32(0).i32(128).call("wait").drop()
		a.i32(132).op(0x28, 2, 0).i32(2).op(0x47).when(func() { a.i32(99).exit() }) // the child's status
	}))
	if !until(h, 2) {
		t.Error("the program did not take SIGINT")
	}
	if r := <-ended; r.exit != 2 || r.err != nil {
		t.Errorf("of two: got %d, %v", r.exit, r.err)
	}

	// Without signals of the host, a program that waits for one waits in vain.
	h = &Host{Runtime: rt, Real: true}
	var dead *DeadlockError
	if r := <-start(h, waitsForSignal(1<<15, suspend)); !errors.As(r.err, &dead) || h.Signal(15) {
		t.Errorf("got %d, %v, want that all wait", r.exit, r.err)
	}

	// One that computes takes one, and not a second one.
	h = &Host{Runtime: rt, Real: true, Signals: true}
	ended = start(h, waitsForSignal(1<<2, func(a *asm) { a.loop(func() { a.call("sched_yield").drop() }) }))
	if h.Unanswered(2) || !until(h, 2) || !h.Unanswered(2) || h.Signal(2) || h.Signal(15) || h.Signal(13) || h.Signal(9) {
		t.Error("a program that computes is immortal, or took what it does not handle")
	}
	cancel()
	<-ended
}
