package wasmrt

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// TestSnapshotLayout checks that this version of wazero has the private fields that snapshot.go uses, and that they mean what it takes them for: it fails
// if a new version changes them.
func TestSnapshotLayout(t *testing.T) {
	a := &asm{}
	a.i32(5).set(1)
	a.i32(0).call("setjmp").set(0)
	a.add(1, 1)                                                  // a local variable, which longjmp sets back with the machine stack
	a.i32(64).i32(64).op(0x28, 2, 0).i32(1).op(0x6a, 0x36, 2, 0) // and a number in memory, which it leaves
	a.get(0).i32(3).op(0x48).when(func() { a.i32(0).get(0).i32(1).op(0x6a).call("longjmp") })
	// After 3 jumps there were 4 passes, and the variable is 6.
	a.get(0).i32(3).op(0x46)
	a.i32(64).op(0x28, 2, 0).i32(4).op(0x46, 0x71)
	a.get(1).i32(6).op(0x46, 0x71).exit()
	exit, out, err := runAsm(t, &Host{}, a.module(strings.Repeat("\x00", 100)))
	if snapshotLayout.err != nil || exit != 1 || err != nil {
		t.Fatalf("got %d, %q, %v, layout: %v", exit, out, err, snapshotLayout.err)
	}
	l := snapshotLayout.layout
	for name, at := range map[string]uintptr{"stack": l.stack, "sp": l.sp + 1, "top": l.top, "c": l.engine, "handlers": l.handlers, "exception": l.exception} {
		if at == 0 {
			t.Errorf("the field %s is at 0", name)
		}
	}
}

// TestJumpByCopy returns to a place by a copy of the buffer that setjmp noted it in, as bash does.
func TestJumpByCopy(t *testing.T) {
	a := &asm{}
	a.i32(0).call("setjmp").set(0)
	a.i32(64).i32(0).op(0x29, 3, 0, 0x37, 3, 0) // the first 8 bytes to 64
	a.get(0).i32(3).op(0x48).when(func() { a.i32(64).get(0).i32(1).op(0x6a).call("longjmp") })
	a.get(0).exit()
	exit, out, err := runAsm(t, &Host{}, a.module(strings.Repeat("\x00", 100)))
	if exit != 3 || err != nil {
		t.Errorf("got %d, %q, %v", exit, out, err)
	}
}

// TestSnapshotLayoutChanges checks that a snapshot with other fields is refused, and not read as something else.
func TestSnapshotLayoutChanges(t *testing.T) {
	type handler struct {
		sp, top uintptr
		stack   []byte
	}
	type engine struct {
		tryHandlers      []handler
		pendingException *handler
	}
	_ = engine{tryHandlers: []handler{{sp: 0, top: 0, stack: nil}}, pendingException: nil}
	for _, c := range []struct{ snapshot, missing any }{
		{&struct {
			sp, top uintptr
			stack   []byte
			c       *engine
		}{}, nil},
		{struct{}{}, "a snapshot is"},
		{&struct {
			sp, top uintptr
			c       *engine
		}{}, "field stack"},
		{&struct {
			sp, top uintptr
			stack   string
			c       *engine
		}{}, "field stack"},
		{&struct {
			sp    uintptr
			stack []byte
			c     *engine
		}{}, "field top"},
		{&struct {
			sp, top uintptr
			stack   []byte
			c       *handler
		}{}, "field tryHandlers"},
	} {
		err := new(layout).read(reflect.TypeOf(c.snapshot))
		if c.missing == nil {
			if err != nil {
				t.Errorf("the layout as it is: %v", err)
			}
			continue
		}
		if !errors.Is(err, errLayout) || !strings.Contains(err.Error(), c.missing.(string)) {
			t.Errorf("%T: got %v, want %q", c.snapshot, err, c.missing)
		}
	}
}

// TestWithoutSnapshots checks what is left if the fields have changed: a program runs, and can neither fork nor use setjmp.
func TestWithoutSnapshots(t *testing.T) {
	a := &asm{}
	a.call("fork").i32(0).op(0x6b).exit()
	code := a.module("x")
	if exit, _, err := runAsm(t, &Host{}, code); exit == 256-int(eNosys) || err != nil {
		t.Fatalf("got %d, %v", exit, err)
	}
	old := snapshotLayout.err
	snapshotLayout.err = errLayout
	defer func() { snapshotLayout.err = old }()
	if exit, _, err := runAsm(t, &Host{}, code); exit != 256-int(eNosys) || err != nil {
		t.Errorf("got %d, %v, want %d", exit, err, 256-int(eNosys))
	}
}

// TestForkAndThrow forks inside of a try block. The child throws first, and runs on the stack that wazero has put aside for the handler, and
// changes it. The parent's exception finds the handler as it was.
func TestForkAndThrow(t *testing.T) {
	a := &asm{throws: true}
	a.i32(7).set(1)
	a.op(0x02, 0x40)                      // block
	a.op(0x1f, 0x40, 1, 0x02, 0)          // try_table (catch_all 0)
	a.i32(64).call("fork").op(0x36, 2, 0) // in memory: wazero loses what a try block sets in variables
	a.i32(64).op(0x28, 2, 0).when(func() { a.i32(-1).i32(0).i32(128).call("wait").drop() })
	a.op(0x08, 0) // throw
	a.op(0x0b)
	a.op(0x0b)
	a.i32(64).op(0x28, 2, 0).op(0x45).when(func() {
		for range 8 {
			a.get(1).i32(10).op(0x6a).set(1).call("getpid").set(2)
		}
		a.get(1).exit()
	})
	a.get(1).i32(132).op(0x28, 2, 0).i32(8).op(0x76, 0x6a).exit()
	if exit, out, err := runAsm(t, &Host{}, a.module("x")); exit != 7+87 || err != nil {
		t.Errorf("got %d, %q, %v, want 94", exit, out, err)
	}
}

// TestTryLosesVariables shows why cc makes exceptions plain code (packages/toolchain/cc/exceptions.c): with the instructions for them a handler sees the variables
// as they were when the try began. If this fails, wazero has mended it.
func TestTryLosesVariables(t *testing.T) {
	a := &asm{throws: true}
	a.i32(1).set(0)
	a.op(0x02, 0x40)             // block
	a.op(0x1f, 0x40, 1, 0x02, 0) // try_table (catch_all 0)
	a.i32(2).set(0)
	a.op(0x08, 0) // throw
	a.op(0x0b)
	a.op(0x0b)
	a.get(0).exit()
	if exit, out, err := runAsm(t, &Host{}, a.module("x")); exit != 1 || err != nil {
		t.Errorf("got %d, %q, %v, want 1, the old value", exit, out, err)
	}
}
