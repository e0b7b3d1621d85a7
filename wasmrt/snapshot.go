package wasmrt

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"unsafe"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// This is the only file that reads private fields of wazero. wazero's Snapshot copies the machine stack of a running instance and can go back to it,
// which is what fork and setjmp need. Its interface lacks three things: a second return to the same snapshot, since the program runs on the snapshot's own
// stack after the first; the handlers of exceptions that are active, which wazero keeps beside the stack; and the values of globals that are not
// exported. TestSnapshotLayout fails if a new version of wazero changes the fields.

// errLayout says that this version of wazero has other private fields than this file expects.
var errLayout = errors.New("wazero's snapshots have changed")

// layout is where the private fields are, as offsets in bytes.
type layout struct {
	stack, sp, top, engine uintptr // in a snapshot
	handlers, exception    uintptr // in a call engine
	handlerList            reflect.Type
	handlerStack           uintptr // in a handler
	handlerSP, handlerTop  uintptr
}

var snapshotLayout = struct {
	sync.Once
	layout
	err error
}{}

// fieldsOf returns the layout of a snapshot's type, once for all.
func fieldsOf(s experimental.Snapshot) (*layout, error) {
	l := &snapshotLayout
	l.Do(func() { l.err = l.read(reflect.TypeOf(s)) })
	return &l.layout, l.err
}

func (l *layout) read(t reflect.Type) error {
	find := func(t reflect.Type, name string, is func(reflect.Type) bool) (reflect.StructField, error) {
		f, ok := t.FieldByName(name)
		if !ok || !is(f.Type) {
			return f, fmt.Errorf("%w: %v has no field %s of the expected type", errLayout, t, name)
		}
		return f, nil
	}
	kind := func(k reflect.Kind) func(reflect.Type) bool {
		return func(t reflect.Type) bool { return t.Kind() == k }
	}
	bytes := func(t reflect.Type) bool { return t == reflect.TypeFor[[]byte]() }
	pointer := func(t reflect.Type) bool { return t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct }
	list := func(t reflect.Type) bool { return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct }
	if !pointer(t) {
		return fmt.Errorf("%w: a snapshot is a %v", errLayout, t)
	}
	snapshot := t.Elem()
	c, err := find(snapshot, "c", pointer)
	if err != nil {
		return err
	}
	h, err := find(c.Type.Elem(), "tryHandlers", list)
	if err != nil {
		return err
	}
	l.engine, l.handlers, l.handlerList = c.Offset, h.Offset, h.Type
	for _, f := range []struct {
		in   reflect.Type
		name string
		is   func(reflect.Type) bool
		at   *uintptr
	}{
		{snapshot, "stack", bytes, &l.stack}, {snapshot, "sp", kind(reflect.Uintptr), &l.sp}, {snapshot, "top", kind(reflect.Uintptr), &l.top},
		{c.Type.Elem(), "pendingException", pointer, &l.exception},
		{h.Type.Elem(), "stack", bytes, &l.handlerStack}, {h.Type.Elem(), "sp", kind(reflect.Uintptr), &l.handlerSP},
		{h.Type.Elem(), "top", kind(reflect.Uintptr), &l.handlerTop},
	} {
		found, err := find(f.in, f.name, f.is)
		if err != nil {
			return err
		}
		*f.at = found.Offset
	}
	return nil
}

func fieldAt[T any](p unsafe.Pointer, offset uintptr) *T { return (*T)(unsafe.Add(p, offset)) }

// usedPart returns the part of a stack between two addresses in it. Stacks grow down to their first byte.
func usedPart(stack []byte, sp, top uintptr) []byte {
	base := uintptr(unsafe.Pointer(unsafe.SliceData(stack)))
	if sp < base || top < sp || top > base+uintptr(len(stack)) {
		panic(fmt.Errorf("%w: a stack of %d bytes does not hold its own pointers", errLayout, len(stack)))
	}
	return stack[sp-base : top-base]
}

// A checkpoint is a place in a running program to which it can return: its machine stack, and the handlers of exceptions that are active there.
// The program's memory and globals are not part of it.
type checkpoint struct {
	snap    experimental.Snapshot
	private unsafe.Pointer // the snapshot
	used    []byte         // the part of the snapshot's stack that is in use
	bytes   int            // memory that the checkpoint occupies

	handlers     reflect.Value // a slice; invalid if it is empty
	handlerUsed  [][]byte      // a copy of the part in use of each handler's stack
	exception    unsafe.Pointer
	copied       []byte // a copy of used, for checkpoints to which a program may return more than once
	placeOfStack *layout
}

// takeCheckpoint returns the place of the host call that runs. The call must belong to a program that started with experimental.WithSnapshotter.
func takeCheckpoint(ctx context.Context) (*checkpoint, error) {
	s := experimental.GetSnapshotter(ctx).Snapshot()
	l, err := fieldsOf(s)
	if err != nil {
		return nil, err
	}
	c := &checkpoint{snap: s, private: reflect.ValueOf(s).UnsafePointer(), placeOfStack: l}
	stack := fieldAt[[]byte](c.private, l.stack)
	c.used = usedPart(*stack, *fieldAt[uintptr](c.private, l.sp), *fieldAt[uintptr](c.private, l.top))
	c.bytes = len(*stack)
	// Each snapshot's stack is 16 bytes longer than the one it copies, and then copied itself. Without this, stacks would grow for ever.
	if len(*stack)-len(c.used) > 1<<12 {
		*stack = (*stack)[16:]
	}
	engine := *fieldAt[unsafe.Pointer](c.private, l.engine)
	c.exception = *fieldAt[unsafe.Pointer](engine, l.exception)
	if active := reflect.NewAt(l.handlerList, unsafe.Add(engine, l.handlers)).Elem(); active.Len() > 0 {
		c.handlers = cloneSlice(active)
		for i := range c.handlers.Len() {
			used := l.handlerPart(c.handlers.Index(i))
			c.handlerUsed = append(c.handlerUsed, append([]byte(nil), used...))
			c.bytes += len(used)
		}
	}
	return c, nil
}

func cloneSlice(s reflect.Value) reflect.Value {
	out := reflect.MakeSlice(s.Type(), s.Len(), s.Len())
	reflect.Copy(out, s)
	return out
}

// handlerPart returns the part in use of a handler's stack.
func (l *layout) handlerPart(h reflect.Value) []byte {
	p := h.Addr().UnsafePointer()
	return usedPart(*fieldAt[[]byte](p, l.handlerStack), *fieldAt[uintptr](p, l.handlerSP), *fieldAt[uintptr](p, l.handlerTop))
}

// again allows several returns to the checkpoint.
func (c *checkpoint) again() {
	c.copied = append([]byte(nil), c.used...)
	c.bytes += len(c.copied)
}

// depth is how much of the machine stack is in use at the checkpoint.
func (c *checkpoint) depth() int { return len(c.used) }

// goBack returns from the host call in which the checkpoint was taken, with a result. It does not return to its caller.
func (c *checkpoint) goBack(result uint64) {
	l := c.placeOfStack
	if c.copied != nil {
		copy(c.used, c.copied)
	}
	engine := *fieldAt[unsafe.Pointer](c.private, l.engine)
	*fieldAt[unsafe.Pointer](engine, l.exception) = c.exception
	active := reflect.NewAt(l.handlerList, unsafe.Add(engine, l.handlers)).Elem()
	active.SetZero()
	if c.handlers.IsValid() {
		// A process that caught an exception ran on the handler's stack, and another process may still have the handler.
		for i := range c.handlers.Len() {
			copy(l.handlerPart(c.handlers.Index(i)), c.handlerUsed[i])
		}
		active.Set(cloneSlice(c.handlers))
	}
	c.snap.Restore([]uint64{result})
}

// globalCell is a mutable global variable of an instance.
type globalCell interface {
	Value() (low, high uint64)
	SetValue(low, high uint64)
}

// mutableGlobals returns the mutable globals of an instance, also those that it does not export.
func mutableGlobals(mod api.Module) ([]globalCell, error) {
	inside, ok := mod.(experimental.InternalModule)
	if !ok {
		return nil, fmt.Errorf("%w: a module hides its globals", errLayout)
	}
	var out []globalCell
	for i := range inside.NumGlobal() {
		v := reflect.ValueOf(inside.Global(i))
		if v.Kind() != reflect.Struct {
			return nil, fmt.Errorf("%w: a global is a %v", errLayout, v.Type())
		}
		g := v.FieldByName("g")
		if !g.IsValid() || g.Kind() != reflect.Pointer || g.Type().Elem().Kind() != reflect.Struct {
			return nil, fmt.Errorf("%w: a global is a %v", errLayout, v.Type())
		}
		instance := reflect.NewAt(g.Type().Elem(), g.UnsafePointer())
		cell, ok := instance.Interface().(globalCell)
		mutable := instance.Elem().FieldByName("Type").FieldByName("Mutable")
		if !ok || mutable.Kind() != reflect.Bool {
			return nil, fmt.Errorf("%w: a global is a %v", errLayout, g.Type())
		}
		if mutable.Bool() {
			out = append(out, cell)
		}
	}
	return out, nil
}
