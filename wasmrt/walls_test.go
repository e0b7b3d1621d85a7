package wasmrt_test

import (
	"testing"

	"github.com/MordragT/nuka/internal/skip"
	"github.com/MordragT/nuka/wasmrt"
)

// needWalls skips a test where this system lacks a wall; in CI, where CI is set, it fails it: a skip there would hide the wall.
func needWalls(t *testing.T) {
	t.Helper()
	if missing := wasmrt.MissingWalls(); len(missing) > 0 {
		skip.Wall(t, missing)
	}
}
