//go:build !unix

package wasmrt

import (
	"io/fs"
	"os"
)

const hostOpenFlags = 0

func hostID(fs.FileInfo) (dev, ino, nlink uint64, ok bool) { return 0, 0, 0, false }

// hostChtimes does nothing: times of an open file cannot be set here without its path.
func hostChtimes(*os.File, int64, int64) error { return nil }
