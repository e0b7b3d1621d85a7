package wasmrt_test

import (
	"os"
	"testing"

	"github.com/MordragT/nuka/wasmrt"
)

// needWalls skips a test where this system lacks a wall; in CI, where CI is set, it fails it: a skip there would hide the wall.
func needWalls(t *testing.T) {
	t.Helper()
	if missing := wasmrt.MissingWalls(); len(missing) > 0 {
		skipUnlessCI(t, missing)
	}
}

// skipUnlessCI is t.Skip on a person's machine and t.Fatal in CI.
func skipUnlessCI(t *testing.T, why ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why...)
	}
	t.Skip(why...)
}
