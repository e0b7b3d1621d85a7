//go:build !unix

package supervise

import "os"

// acceptable reports that nothing waits: this system does not tell.
func acceptable(*os.File) (bool, error) { return false, nil }

// Inheritable does nothing: programs get no sockets on this system.
func Inheritable(*os.File) error { return nil }
