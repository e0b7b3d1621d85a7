//go:build !linux

package checkout

import (
	"errors"
	"os"
)

// clone is not known on this system.
func clone(_, _ *os.File) error { return errors.ErrUnsupported }
