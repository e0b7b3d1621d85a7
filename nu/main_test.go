package nu

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/MordragT/nuka/wasmrt"
)

// toolWasm is the compiled program of testdata/tool.
var toolWasm string

// testRuntime is shared by all tests: compiling the embedded Nushell takes seconds.
var testRuntime *wasmrt.Runtime

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// The user's cache folder keeps machine code between runs.
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	rt, err := wasmrt.New(context.Background(), &wasmrt.Options{CacheDir: filepath.Join(dir, "nuka-test", "code")})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer rt.Close(context.Background()) //nolint:errcheck // the process ends
	testRuntime = rt
	tmp, err := os.MkdirTemp("", "nuka-nu")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // a temporary folder
	toolWasm = filepath.Join(tmp, "tool.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", toolWasm, "./testdata/tool")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the tool: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
