package wasmrt_test

import (
	"testing"

	"github.com/MordragT/nuka/internal/skip"
	"github.com/MordragT/nuka/wasmrt"
)

// needWalls skips a test if this system lacks a wall. If CI is set, it fails the test instead: a skip would hide the missing wall.
func needWalls(t *testing.T) {
	t.Helper()
	if missing := wasmrt.MissingWalls(); len(missing) > 0 {
		skip.Wall(t, missing)
	}
}
