//go:build !linux

package disk

import (
	"os"
	"runtime"
)

// FewFiles is the number of files up to which they are synced one by one: here all are.
const FewFiles = 1 << 30

// syncPaths makes the content of files, or the names in folders, durable, one by one.
func syncPaths(_ string, paths []string) error {
	for _, p := range paths {
		if err := syncPath(p); err != nil {
			return err
		}
	}
	return nil
}

// SyncDir makes the names in a folder durable. Windows has no call for that and does it by itself.
func SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	return syncPath(path)
}

func syncPath(path string) error {
	if runtime.GOOS == "windows" {
		// FlushFileBuffers wants a file that may be written to, which a blob may not; Windows writes it soon.
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return f.Sync()
}

// StartWriting is a hint that this system does not take.
func StartWriting(*os.File, int64, int64) {}

// CloneFile says that this system cannot clone files.
func CloneFile(*os.File, *os.File) bool { return false }

// ReserveSpace does nothing; the writes will tell of a full disk.
func ReserveSpace(*os.File, int64) error { return nil }

// SetAsideRoom says that this system keeps no room.
func SetAsideRoom(*os.File, int64, int64) bool { return false }

// MayHaveData says that every range may have data.
func MayHaveData(*os.File, int64, int64) bool { return true }
