// Package atomicfile replaces whole files durably.
//
// When a function other than Replace returns nil, its effect survives a power cut. A call interrupted by a crash took effect completely or not at all.
package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write sets the content of the file at path to b. Only the file's user may read it. The folder must exist.
func Write(path string, b []byte) error {
	return (&writer{}).write(path, b, os.Rename)
}

// Replace sets the content of a cache file to b: other processes see the old content or b. It does not sync, so after a
// power cut the file may be empty or damaged, and its readers must check it.
func Replace(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename
	_, err = f.Write(b)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Create writes the file at path. If the file exists, the error wraps os.ErrExist.
// If several processes create it at once, one succeeds.
func Create(path string, b []byte) error {
	return (&writer{}).write(path, b, os.Link)
}

// Rename renames a file, whose content is durable, within its folder and makes the new name durable.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error { return syncDir(dir) }

// Remove removes a file.
func Remove(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// A step is one change on disk.
type step string

const (
	stepCreate  step = "create"  // create a file with a temporary name
	stepSync    step = "sync"    // make its bytes durable
	stepName    step = "name"    // rename it
	stepSyncDir step = "syncdir" // make the name durable
)

// A writer writes one file.
type writer struct {
	// before is called before each step; its error becomes the step's. It may be nil. Tests of power cuts use it.
	before func(step) error
}

func (w *writer) do(s step, fn func() error) error {
	if w.before != nil {
		if err := w.before(s); err != nil {
			return err
		}
	}
	return fn()
}

func (w *writer) write(path string, b []byte, name func(from, to string) error) error {
	dir := filepath.Dir(path)
	var f *os.File
	err := w.do(stepCreate, func() (err error) {
		f, err = os.CreateTemp(dir, ".new-") // mode 0600
		return err
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // fails after the rename
	_, err = f.Write(b)
	if err == nil {
		err = w.do(stepSync, f.Sync)
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = w.do(stepName, func() error { return name(f.Name(), path) })
	}
	if err == nil {
		err = w.do(stepSyncDir, func() error { return syncDir(dir) })
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
