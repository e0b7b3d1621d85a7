// Package ownfile has what folders of one user's files need: a lock between the user's processes, and the owner of a file.
package ownfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"
)

// ErrBusy says that another process has kept the lock for the whole wait.
var ErrBusy = errors.New("another process has the lock")

// errLocked says that another process has the lock now.
var errLocked = errors.New("the file is locked")

// Lock locks the file at path against other processes until the returned file is closed. It makes the file if it is missing, but not its folder.
// If another process has the lock, Lock calls waits once, unless it is nil, and waits for most; then the error is ErrBusy. If ctx is cancelled
// meanwhile, it is ctx's.
func Lock(ctx context.Context, path string, most time.Duration, waits func()) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	late := time.After(most)
	for {
		err := tryLock(f)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, errLocked) {
			return nil, errors.Join(err, f.Close())
		}
		if waits != nil {
			waits()
			waits = nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
			continue
		case <-ctx.Done():
			err = ctx.Err()
			if errors.Is(err, context.DeadlineExceeded) {
				err = ErrBusy
			}
		case <-late:
			err = ErrBusy
		}
		f.Close() //nolint:errcheck // nothing was written
		return nil, err
	}
}

// Locked reports whether a process has the lock of a file. A file that is not there has none.
func Locked(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = tryShare(f)
	if errors.Is(err, errLocked) {
		return true, nil
	}
	return false, err
}
