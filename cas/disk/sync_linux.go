package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// FewFiles is the number of files up to which they are synced one by one:
// syncing the file system also waits for the bytes that other programs have written to it.
const FewFiles = 8

// syncPaths makes the content of files, or the names in folders, durable.
func syncPaths(root string, paths []string) error {
	if len(paths) > FewFiles {
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

// SyncDir makes the names in a folder durable.
func SyncDir(path string) error { return syncPath(path) }

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return f.Sync()
}

// StartWriting has the system begin to write a range of a file to disk.
func StartWriting(f *os.File, offset, size int64) {
	// Only a hint: the sync before the name finds every error.
	_ = unix.SyncFileRange(int(f.Fd()), offset, size, unix.SYNC_FILE_RANGE_WRITE)
}

// CloneFile makes dst share the content of src, and says whether the file system can do that.
func CloneFile(dst, src *os.File) bool {
	return unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil
}

// ReserveSpace has the file system find room for a file at once: writing is then cheaper,
// and a full disk says so before anything is written.
func ReserveSpace(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
	}
	return nil // not every file system can
}

// SetAsideRoom has the file system keep room for a range of a file without making the file longer,
// and says whether it does.
func SetAsideRoom(f *os.File, offset, size int64) bool {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, offset, size) == nil
}

// MayHaveData says whether a range of a file may have been written to.
func MayHaveData(f *os.File, offset, size int64) bool {
	next, err := unix.Seek(int(f.Fd()), offset, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return false // only holes follow
	}
	return err != nil || next < offset+size
}
