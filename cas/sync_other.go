//go:build !linux

package cas

import (
	"os"
	"runtime"
)

// fewFiles is up to how many files are synced one by one: all of them.
const fewFiles = 1 << 30

// syncPaths makes the content of files, or the names in folders, durable, one by one.
func syncPaths(_ string, paths []string) error {
	for _, p := range paths {
		if err := syncPath(p); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes the names in a folder durable. Windows cannot, and does it by itself.
func syncDir(path string) error {
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

func startWriting(*os.File, int64, int64) {}

func cloneFile(*os.File, *os.File) bool { return false }

func reserveSpace(*os.File, int64) error { return nil }

func setAsideRoom(*os.File, int64, int64) bool { return false }

func mayHaveData(*os.File, int64, int64) bool { return true }
