package atomicfile

import (
	"os"

	"golang.org/x/sys/unix"
)

// SyncTree writes a folder to the disk, with everything below it. Linux does so for the whole file system, in one call.
func SyncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
}
