package nu

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/MordragT/nuka/wasmrt"
)

// testRuntime is shared by all tests: compiling the embedded Nushell takes seconds.
var testRuntime *wasmrt.Runtime

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// Machine code is kept between runs where the user's caches are.
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
	return m.Run()
}
