package disk

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// lockStore takes the lock file. The system drops the lock when the process ends, however it ends.
// The file cannot be read while it is locked, so the error does not name the process.
func lockStore(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	if err != nil {
		f.Close() //nolint:errcheck // not ours
		return nil, fmt.Errorf("%w: %w; stop it or use another store", ErrLocked, err)
	}
	return f, nil
}

func unlockStore(f *os.File) error { return f.Close() }
