package disk

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// The errors of a store, which all its packages share.
var (
	// ErrNotFound says that the store does not hold the object.
	ErrNotFound = errors.New("not in the store")
	// ErrDamaged says that the bytes of the store's copy do not have its hash. The copy has been set aside;
	// importing the same content again heals it.
	ErrDamaged = errors.New("damaged in the store")
	// ErrLocked says that another process has the store open.
	ErrLocked = errors.New("the store is in use by another process")
	// ErrClosed says that Close was called.
	ErrClosed = errors.New("the store is closed")

	// ErrMismatch says that a file does not have the bytes that its name promises.
	ErrMismatch = errors.New("its bytes do not have its hash")
)

// UnlessAbsent returns err, but nil if err says that an object is not in the store or damaged there.
func UnlessAbsent(err error) error {
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrDamaged) {
		return nil
	}
	return err
}

// Damage says whether an error of reading a blob means that the blob is damaged, and in which way.
func Damage(err error) (reason string, damaged bool) {
	switch {
	case errors.Is(err, ErrMismatch):
		return ErrMismatch.Error(), true
	case errors.Is(err, fs.ErrNotExist):
		return "it is missing", true
	case errors.Is(err, syscall.EIO):
		return "it cannot be read", true
	}
	return "", false
}

// RemoveIfThere removes a file. A missing file is no error.
func RemoveIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
