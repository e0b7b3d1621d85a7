//go:build linux || darwin || netbsd || solaris

package wasmrt

import "golang.org/x/sys/unix"

// mapNoReserve keeps writable pages from being counted before they are touched.
const mapNoReserve = unix.MAP_NORESERVE
