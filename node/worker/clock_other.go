//go:build !linux

package worker

import "github.com/MordragT/nuka/sandbox"

// fixedClock returns nil: only Linux has sandboxes.
func fixedClock() *sandbox.Clock { return nil }
