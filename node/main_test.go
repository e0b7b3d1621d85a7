package node

import (
	"testing"

	"go.uber.org/goleak"
)

// What a test starts, it ends.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
