//go:build linux || darwin || netbsd || solaris

package wasmrt

import "golang.org/x/sys/unix"

// mapNoReserve keeps the kernel from counting writable pages before they are touched.
const mapNoReserve = unix.MAP_NORESERVE
