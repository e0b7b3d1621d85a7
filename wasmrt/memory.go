package wasmrt

import (
	"fmt"
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"
)

// DefaultMemory is the memory limit of a program that has none: all a 32-bit program can address.
const DefaultMemory = 4 << 30

// memoryBudget is how much linear memory a program, or a set of programs, may have.
type memoryBudget struct {
	limit  int64
	used   atomic.Int64
	denied atomic.Bool
	parent *memoryBudget
}

// take reserves n more bytes, here and in the set this belongs to.
func (m *memoryBudget) take(n int64) bool {
	if m == nil {
		return true
	}
	if m.used.Add(n) > m.limit && m.limit > 0 {
		m.used.Add(-n)
		m.denied.Store(true)
		return false
	}
	if !m.parent.take(n) {
		m.used.Add(-n)
		m.denied.Store(true)
		return false
	}
	return true
}

func (m *memoryBudget) give(n int64) {
	for ; m != nil; m = m.parent {
		m.used.Add(-n)
	}
}

// Allocate implements experimental.MemoryAllocator.
// It panics with a memoryError if the limit is below what the program needs to start.
func (m *memoryBudget) Allocate(_, most uint64) experimental.LinearMemory {
	if m.limit > 0 {
		most = min(most, uint64(m.limit))
	}
	return &linearMemory{budget: m, max: most}
}

// linearMemory is the memory of one instance.
type linearMemory struct {
	budget *memoryBudget
	max    uint64
	size   uint64
	region region
}

// Reallocate implements experimental.LinearMemory: nil, when the limit is reached, makes memory.grow answer -1.
func (l *linearMemory) Reallocate(size uint64) []byte {
	first := l.size == 0 && l.region.empty()
	b := l.resize(size)
	if b == nil && first && size > 0 {
		panic(memoryError{need: size, limit: l.max})
	}
	return b
}

func (l *linearMemory) resize(size uint64) []byte {
	if size > l.max {
		l.budget.denied.Store(true)
		return nil
	}
	more := int64(size) - int64(l.size)
	if more > 0 && !l.budget.take(more) {
		return nil
	}
	b := l.region.resize(size, l.max)
	if b == nil {
		if more > 0 {
			l.budget.give(more)
		}
		l.budget.denied.Store(true)
		return nil
	}
	l.size = size
	return b
}

// Free implements experimental.LinearMemory.
func (l *linearMemory) Free() {
	l.budget.give(int64(l.size))
	l.size = 0
	l.region.free()
}

// memoryError says that a program cannot even start within its memory limit.
type memoryError struct{ need, limit uint64 }

func (e memoryError) Error() string {
	return fmt.Sprintf("out of memory: it starts with %d MiB, the limit is %d MiB", e.need>>20, e.limit>>20)
}
