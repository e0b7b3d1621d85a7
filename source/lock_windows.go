package source

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

var errLocked = errors.New("another process has the lock")

// lock locks an open file against other processes until it is closed.
// The locked range is beyond any content, because Windows prevents others from reading a locked range.
func lock(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0,
		&windows.Overlapped{OffsetHigh: 1 << 30})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLocked
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// removeLocked removes the file after closing it, because Windows does not remove open files.
func removeLocked(f *os.File) {
	f.Close()
	os.Remove(f.Name())
}
