//go:build linux || darwin || freebsd

package disk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// indexReserve is the free space that imports and new records leave to the index, so that a full disk stops an import and not the
// index, and deleting always works.
const indexReserve = 16 << 20

// Free returns how many bytes are free, and false if the system does not tell.
func (d *Dir) Free() (int64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(d.path, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}

// CheckSpace returns ENOSPC if less than the reserve is free.
func (d *Dir) CheckSpace() error {
	if free, known := d.Free(); known && free < indexReserve { // if it is unknown, the writes will tell
		return fmt.Errorf("%w: %d MiB are free and the index needs %d MiB; remove something", unix.ENOSPC, free>>20, indexReserve>>20)
	}
	return nil
}
