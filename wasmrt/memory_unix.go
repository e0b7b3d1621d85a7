//go:build unix

package wasmrt

import "golang.org/x/sys/unix"

// region is address space for one linear memory.
// All of it is reserved without access rights, which costs nothing and counts against no memory limit. It is made
// writable as the memory grows. So growing never copies, RLIMIT_DATA counts only what is in use, and accesses
// beyond the size fault.
type region struct {
	all  []byte
	size uint64
	huge bool
}

// hugeSize is the size from which on a memory is made of large pages, where the system has them. A program as large as a compiler touches thousands of pages
// when it starts, and a fault costs more than the page's content.
const hugeSize = 16 << 20

func (r *region) empty() bool { return r.all == nil }

// empty1 stands for a memory without pages, since wazero takes nil for failure.
var empty1 = make([]byte, 0, 1)

func (r *region) resize(size, most uint64) []byte {
	if r.all == nil {
		if most == 0 {
			return empty1
		}
		b, err := unix.Mmap(-1, 0, int(most), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|mapNoReserve)
		if err != nil {
			return nil
		}
		r.all = b
	}
	if size > r.size {
		if unix.Mprotect(r.all[r.size:size], unix.PROT_READ|unix.PROT_WRITE) != nil {
			return nil
		}
		if r.size = size; size >= hugeSize && !r.huge {
			r.huge = true
			adviseHuge(r.all)
		}
	}
	return r.all[:size:len(r.all)]
}

func (r *region) free() {
	if r.all != nil {
		_ = unix.Munmap(r.all)
		r.all, r.size = nil, 0
	}
}
