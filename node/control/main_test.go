package control

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain checks that every goroutine that a test starts has ended.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
