// Package skip skips tests on machines that lack what they need, and fails them in CI, where a skip would go unnoticed.
package skip

import (
	"os"
	"testing"
)

// Wall skips a test of a defence that this machine does not support. In CI, where the variable CI is set, the test fails:
// a skip there would hide that the defence is not tested.
func Wall(t testing.TB, why ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(append([]any{"a test of a defence must run in CI:"}, why...)...)
	}
	t.Skip(why...)
}
