//go:build unix

package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// lockStore takes the lock file, which holds the number of the process that has it.
// The system drops the lock when that process ends, however it ends.
func lockStore(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		text, _ := io.ReadAll(io.LimitReader(f, 32))
		f.Close() //nolint:errcheck // not ours
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, fmt.Errorf("%w: process %s; stop it or use another store", ErrLocked, strings.TrimSpace(string(text)))
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil && !errors.Is(err, unix.ENOSPC) { // the number is only for people
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func unlockStore(f *os.File) error { return f.Close() }
