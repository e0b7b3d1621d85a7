//go:build !unix

package statcache

import (
	"context"
	"errors"
)

// supported is false: without inodes and the time of a file's last metadata change, a replaced file looks unchanged.
const supported = false

func lstat(string) (stat, error) { return stat{}, errors.ErrUnsupported }

func (r *record) unchanged(context.Context, string) bool { return false }
