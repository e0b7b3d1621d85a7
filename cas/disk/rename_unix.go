//go:build unix

package disk

import (
	"os"
	"syscall"
)

// renameFile is os.Rename without its look at the new name: an import renames every file.
func renameFile(from, to string) error {
	if err := syscall.Rename(from, to); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
