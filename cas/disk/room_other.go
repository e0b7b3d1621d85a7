//go:build !unix

package disk

import "io/fs"

// Room returns the room on the disk that the removal of a file frees, as far as this system tells: its size.
func Room(info fs.FileInfo) int64 { return info.Size() }
