//go:build !unix

package checkout

import "io/fs"

// links returns 0: this system does not tell how many names a file has.
func links(fs.FileInfo) uint64 { return 0 }
