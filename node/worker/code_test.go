package worker

import (
	"context"
	"errors"
	"io"
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
