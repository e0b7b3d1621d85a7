//go:build unix

package source

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

var errLocked = errors.New("another process has the lock")

// lock locks an open file against other processes until it is closed.
func lock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errLocked
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// removeLocked removes the file's name while it is still locked.
func removeLocked(f *os.File) {
	os.Remove(f.Name())
	f.Close()
}
