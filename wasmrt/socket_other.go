//go:build !unix

package wasmrt

import (
	"errors"
	"os"
)

func listeningFD(*os.File) (int, error) {
	return 0, errors.New("programs get no sockets on this system")
}

// No socket exists, so nothing calls these.
func acceptFD(int) (int, errno)             { return 0, eNotsock }
func recvFD(int, []byte, bool) (int, errno) { return 0, eNotsock }
func sendFD(int, []byte) (int, errno)       { return 0, eNotsock }
func unread(int) bool                       { return false }
func closeFD(int) errno                     { return eOK }
func shutdownFD(int, int) errno             { return eNotsock }
