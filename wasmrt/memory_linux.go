package wasmrt

import "golang.org/x/sys/unix"

// adviseHuge asks for large pages in address space. A system without them ignores it.
func adviseHuge(all []byte) { _ = unix.Madvise(all, unix.MADV_HUGEPAGE) }
