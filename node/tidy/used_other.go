//go:build !linux

package tidy

import (
	"io/fs"
	"time"
)

// usedAt returns when a file was last written.
func usedAt(info fs.FileInfo) time.Time { return info.ModTime() }
