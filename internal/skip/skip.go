// Package skip leaves tests out where a machine lacks what they need, and lets none be left out in CI unseen.
package skip

import (
	"os"
	"testing"
)

// Wall skips a test of a defence that this machine cannot show. In CI, where the variable CI is set, the test fails:
// a skip there would hide that nobody looks at the defence.
func Wall(t testing.TB, why ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(append([]any{"a test of a defence must run in CI:"}, why...)...)
	}
	t.Skip(why...)
}
