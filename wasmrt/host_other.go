//go:build !unix

package wasmrt

import (
	"io/fs"
	"os"
)

const hostOpenFlags = 0

func hostID(fs.FileInfo) (dev, ino, nlink uint64, ok bool) { return 0, 0, 0, false }

func hostInode(*os.File, string) (ino, nlink uint64, ok bool) { return 0, 0, false }

// hostLinkTimes leaves the times of a link unchanged.
func hostLinkTimes(*os.File, string, int64, int64) error { return nil }
