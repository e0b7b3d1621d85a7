//go:build !unix

package disk

import "os"

// A Plain is a file that is opened, read or written once, and closed.
type Plain = *os.File

func createPlain(path string) (Plain, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
}

// OpenPlain opens a file for reading. The caller closes it.
func OpenPlain(path string) (Plain, error) { return os.Open(path) }
