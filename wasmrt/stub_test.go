package wasmrt_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/MordragT/nuka/wasmrt"
)

// TestStub takes the machine code of a program from a cache by its stub, and never runs what the stub says.
func TestStub(t *testing.T) {
	code := append(program(1, growLoop...), 0, 5, 4, 'n', 'o', 'n', 'e') // a custom section that is left out
	stub, err := wasmrt.StubModule(code)
	if err != nil || len(stub) >= len(code) || bytes.Contains(stub, growLoop) {
		t.Fatalf("%x, %v", stub, err)
	}
	if again, err := wasmrt.StubModule(stub); err != nil || !bytes.Equal(stub, again) {
		t.Errorf("the stub of a stub is %x, %v", again, err)
	}
	for n := range code { // each beginning: an error, or a module that ends there
		_, _ = wasmrt.StubModule(code[:n])
	}
	if _, err := wasmrt.StubModule(append(bytes.Clone(code[:8]), 10, 5, 0xff, 0xff, 0xff, 0xff, 0x0f)); err == nil {
		t.Error("more functions than bytes: no error")
	}

	dir := t.TempDir()
	if log := loadAndRun(t, dir, code); log != "" {
		t.Error(log)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*", "wazero-*", "*"))
	if len(files) != 1 {
		t.Fatalf("the cache has %v", files)
	}
	loadAndRun(t, dir, code)
	// wazero finds no machine code, as on another processor, and compiles the stub.
	if err := errors.Join(os.Rename(files[0], files[0]+"0"), wasmrt.SealEntry(filepath.Dir(filepath.Dir(files[0])))); err != nil {
		t.Fatal(err)
	}
	if log := loadAndRun(t, dir, code); log != "" {
		t.Error(log)
	}
	loadAndRun(t, dir, code)
	if now, _ := filepath.Glob(filepath.Join(dir, "*", "wazero-*", "*")); len(now) != 1 || now[0] != files[0] {
		t.Errorf("the cache has %v, want %s", now, files[0])
	}
}
