//go:build linux || darwin || freebsd

package cas

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// checkSpace returns ENOSPC when less than the reserve is free.
func (s *Store) checkSpace() error {
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return nil //nolint:nilerr // unknown; the writes will tell
	}
	if free := int64(st.Bavail) * int64(st.Bsize); free < reserve {
		return fmt.Errorf("%w: %d MiB are free and the index needs %d MiB; remove something", unix.ENOSPC, free>>20, reserve>>20)
	}
	return nil
}
