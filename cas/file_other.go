//go:build !unix

package cas

import "os"

type plainFile = *os.File

func createPlain(path string) (plainFile, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
}

func openPlain(path string) (plainFile, error) { return os.Open(path) }
