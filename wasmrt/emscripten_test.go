package wasmrt_test

import (
	"strings"
	"testing"
)

// importing returns a program that calls env.NAME(0).
func importing(name string) []byte {
	section := func(id byte, body string) string { return string([]byte{id, byte(len(body))}) + body }
	text := func(s string) string { return string([]byte{byte(len(s))}) + s }
	return []byte("\x00asm\x01\x00\x00\x00" +
		section(1, "\x02\x60\x01\x7f\x00\x60\x00\x00") + // types: (i32) → (), () → ()
		section(2, "\x01"+text("env")+text(name)+"\x00\x00") +
		section(3, "\x01\x01") +
		section(5, "\x01\x00\x01") +
		section(7, "\x02"+text("memory")+"\x02\x00"+text("_start")+"\x00\x01") +
		section(10, "\x01\x06\x00\x41\x00\x10\x00\x0b"))
}

// TestEmscripten runs a program that tells its host of the growth of its memory, as Emscripten's do (-sALLOW_MEMORY_GROWTH).
func TestEmscripten(t *testing.T) {
	if code, err := run(t, importing("emscripten_notify_memory_growth"), nil); err != nil || code != 0 {
		t.Errorf("got %d, %v", code, err)
	}
	// A call about files is answered with ENOSYS, 52 in Emscripten: the program ends with the negated answer.
	if code, err := run(t, asking("__syscall_fchmod"), nil); err != nil || code != 52 {
		t.Errorf("fchmod: got %d, %v, want ENOSYS", code, err)
	}
	_, err := run(t, importing("emscripten_exit_with_live_runtime"), nil)
	if err == nil || !strings.Contains(err.Error(), "env.emscripten_exit_with_live_runtime") {
		t.Errorf("an unknown import: got %v, want its name", err)
	}
}

// asking returns a program that ends with the negated answer of env.NAME(0, 0) as its exit code.
func asking(name string) []byte {
	section := func(id byte, body string) string { return string([]byte{id, byte(len(body))}) + body }
	text := func(s string) string { return string([]byte{byte(len(s))}) + s }
	return []byte("\x00asm\x01\x00\x00\x00" +
		section(1, "\x03\x60\x02\x7f\x7f\x01\x7f\x60\x00\x00\x60\x01\x7f\x00") + // types: (i32, i32) → i32, () → (), (i32) → ()
		section(2, "\x02"+text("env")+text(name)+"\x00\x00"+text("wasi_snapshot_preview1")+text("proc_exit")+"\x00\x02") +
		section(3, "\x01\x01") +
		section(5, "\x01\x00\x01") +
		section(7, "\x02"+text("memory")+"\x02\x00"+text("_start")+"\x00\x02") +
		section(10, "\x01\x0d\x00\x41\x00\x41\x00\x41\x00\x10\x00\x6b\x10\x01\x0b"))
}
