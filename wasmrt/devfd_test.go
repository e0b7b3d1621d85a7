package wasmrt

import "testing"

// TestDescriptorsFull opens /dev/fd/3 until no descriptor is left. The file of descriptor 3 goes on being open.
func TestDescriptorsFull(t *testing.T) {
	a := &asm{}
	a.i32(fdRoot).i32(0).i32(16).i32(3).i32(1).i64(64).i64(64).i32(0).i32(100).call("path_open").op(0x1a)
	for range 4200 { // more than there may be
		a.i32(fdRoot).i32(0).i32(8).i32(8).i32(0).i64(64).i64(64).i32(0).i32(100).call("path_open").op(0x1a)
	}
	a.i32(3).i32(24).i32(1).i32(100).call("fd_write").exit()
	data := "........" + "dev/fd/3" + "d/f....." + "\x10\x00\x00\x00\x05\x00\x00\x00"
	if exit, out, err := runAsm(t, &Host{}, a.module(data)); exit != 0 || err != nil {
		t.Errorf("got %d, %q, %v", exit, out, err)
	}
}
