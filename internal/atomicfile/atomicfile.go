// Package atomicfile replaces files as a whole, durably.
//
// When a function returns nil, except Replace, its effect survives a power cut. A call that a crash interrupts took effect completely or not at all.
package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write makes b the content of the file at path, which only its user may read; the folder must exist.
func Write(path string, b []byte) error {
	return (&writer{}).write(path, b, os.Rename)
}

// Replace makes b the content of a file of a cache: other processes see the old content or b. It waits for no disk, so after a
// power cut the file may be empty or damaged, and its readers must check it.
func Replace(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // unless it got the other name
	_, err = f.Write(b)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Create writes the file at path unless there is one. The error is os.ErrExist then.
// Of several processes that create it at once, one wins.
func Create(path string, b []byte) error {
	return (&writer{}).write(path, b, os.Link)
}

// Rename gives a file, whose content is durable, the name of another in the same folder.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// Remove removes a file.
func Remove(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// A step is one change of the disk.
type step string

const (
	stepCreate  step = "create"  // a file of another name is made
	stepSync    step = "sync"    // its bytes are made durable
	stepName    step = "name"    // it gets its name
	stepSyncDir step = "syncdir" // the name is made durable
)

// A writer writes one file.
type writer struct {
	// before is called before each step, and its error becomes the step's; nil is not called. For tests of power cuts.
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
	defer os.Remove(f.Name()) // unless it got the other name
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
