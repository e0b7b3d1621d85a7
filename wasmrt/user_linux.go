package wasmrt

import (
	"io/fs"
	"os"
	"path/filepath"
)

// workerUser returns the user that a worker becomes, or 0 if it keeps the user of this process.
func workerUser(c *WorkerCommand) int {
	switch {
	case os.Geteuid() != 0 || c.Unconfined:
		return 0
	case c.Network && c.User == 0:
		return Nobody
	}
	return c.User
}

// handOver gives a worker's user the files that it may write, and makes the single files that it may read readable.
// Only this process has written to them so far, so no link leads elsewhere.
func handOver(c *WorkerCommand, user int) error {
	if c.User == 0 || user == 0 {
		return nil
	}
	for _, p := range c.ReadWrite {
		err := filepath.WalkDir(p, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, user, user)
		})
		if err != nil {
			return err
		}
	}
	for _, p := range c.ReadOnly {
		st, err := os.Lstat(p)
		if err != nil || !st.Mode().IsRegular() || st.Mode().Perm()&0o004 != 0 {
			continue // the worker reports what is missing
		}
		if err := os.Chmod(p, st.Mode().Perm()|0o444); err != nil {
			return err
		}
	}
	return nil
}
