package cas

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// fewFiles is up to how many files are synced one by one:
// syncing the file system also waits for what others have written to it.
const fewFiles = 8

// syncPaths makes the content of files, or the names in folders, durable.
func syncPaths(root string, paths []string) error {
	if len(paths) > fewFiles {
		f, err := os.Open(root)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // it was only read
		if err := unix.Syncfs(int(f.Fd())); err != nil {
			return &os.PathError{Op: "syncfs", Path: root, Err: err}
		}
		return nil
	}
	for _, p := range paths {
		if err := syncPath(p); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(path string) error { return syncPath(path) }

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return f.Sync()
}

// startWriting has the system write a range of a file to disk while we go on.
func startWriting(f *os.File, offset, size int64) {
	// Only a hint: the sync before the name finds every error.
	_ = unix.SyncFileRange(int(f.Fd()), offset, size, unix.SYNC_FILE_RANGE_WRITE)
}

// cloneFile makes dst share the content of src, where the file system can.
func cloneFile(dst, src *os.File) bool {
	return unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil
}

// reserveSpace has the file system find room for a file at once: writing is then cheaper,
// and a disk without that much room says so before anything is written.
func reserveSpace(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
	}
	return nil // not every file system can
}

// setAsideRoom has the file system keep room for a file without making it longer.
func setAsideRoom(f *os.File, offset, size int64) bool {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, offset, size) == nil
}

// mayHaveData says whether a range of a file may have been written to.
func mayHaveData(f *os.File, offset, size int64) bool {
	next, err := unix.Seek(int(f.Fd()), offset, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return false // nothing but holes follows
	}
	return err != nil || next < offset+size
}
