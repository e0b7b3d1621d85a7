package worker

import (
	"context"
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/MordragT/nuka/wasmrt"
)

// If a build stops waiting for a slot, the worker gives the slot back when the node sends it.
func TestSlotAfterCancel(t *testing.T) {
	fromNode, toWorker := io.Pipe()
	fromWorker, toNode := io.Pipe()
	defer toWorker.Close()
	node := wasmrt.NewConn(fromWorker, toWorker)
	worker := newParent(wasmrt.NewConn(fromNode, toNode))

	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error, 1)
	go func() {
		release, err := worker.slot(ctx)
		if release != nil {
			t.Error("a cancelled wait returned a slot")
		}
		waited <- err
	}()
	slots := func() int {
		var said workerReply
		if err := node.RecvValue(&said); err != nil {
			t.Fatal(err)
		}
		return said.Slots
	}
	if n := slots(); n != 1 {
		t.Fatalf("got %d slots asked for, want 1", n)
	}
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want a cancelled wait", err)
	}
	if err := node.SendValue(parentAnswer{Slot: true}); err != nil {
		t.Fatal(err)
	}
	if n := slots(); n != -1 {
		t.Errorf("got %d, want the slot back", n)
	}
}

// Waits for a slot that end before it arrives share one request: a build of many programs beside a long build makes many of them.
func TestSlotRequestIsReused(t *testing.T) {
	fromNode, toWorker := io.Pipe()
	fromWorker, toNode := io.Pipe()
	defer toWorker.Close()
	node := wasmrt.NewConn(fromWorker, toWorker)
	worker := newParent(wasmrt.NewConn(fromNode, toNode))
	said := make(chan int)
	go func() {
		for {
			var reply workerReply
			if err := node.RecvValue(&reply); err != nil {
				close(said)
				return
			}
			said <- reply.Slots
		}
	}()
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		waited := make(chan error, 1)
		go func() {
			_, err := worker.slot(ctx)
			waited <- err
		}()
		if i == 0 {
			if n := <-said; n != 1 {
				t.Fatalf("got %d slots asked for, want 1", n)
			}
		}
		cancel()
		select {
		case err := <-waited:
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v, want a cancelled wait", err)
			}
		case n := <-said:
			t.Fatalf("wait %d asked for %d more slots, want it to take over the request of the first", i, n)
		}
	}
	got := make(chan error, 1)
	go func() {
		release, err := worker.slot(t.Context())
		if err == nil {
			release()
		}
		got <- err
	}()
	for waiting := 0; waiting == 0; runtime.Gosched() {
		worker.waits.Lock()
		waiting = len(worker.waiting)
		worker.waits.Unlock()
	}
	if err := node.SendValue(parentAnswer{Slot: true}); err != nil {
		t.Fatal(err)
	}
	if n := <-said; n != -1 {
		t.Errorf("got %d, want the slot back", n)
	}
	if err := <-got; err != nil {
		t.Errorf("got %v, want the slot that the first request brought", err)
	}
	toNode.Close()
	if n, open := <-said; open {
		t.Errorf("got %d after the slot was given back, want nothing", n)
	}
}
