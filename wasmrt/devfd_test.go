package wasmrt

import "testing"

// TestDescriptorsFull opens /dev/fd/1 until no descriptor is left. What that failed for goes on being open.
func TestDescriptorsFull(t *testing.T) {
	a := &asm{}
	for range 4200 { // more than there may be
		a.i32(fdRoot).i32(0).i32(8).i32(8).i32(0).i64(64).i64(64).i32(0).i32(100).call("path_open").op(0x1a)
	}
	a.i32(1).i32(24).i32(1).i32(100).call("fd_write").exit()
	data := "........" + "dev/fd/1" + "hello..." + "\x10\x00\x00\x00\x05\x00\x00\x00"
	if exit, out, err := runAsm(t, &Host{}, a.module(data)); exit != 0 || out != "hello" || err != nil {
		t.Errorf("got %d, %q, %v", exit, out, err)
	}
}
