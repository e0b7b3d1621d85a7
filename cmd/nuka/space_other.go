//go:build !linux && !darwin && !freebsd

package main

import "errors"

// freeSpace returns errors.ErrUnsupported on this platform.
func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }
