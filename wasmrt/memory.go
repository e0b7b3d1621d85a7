package wasmrt

import (
	"fmt"
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"
)

// DefaultMemory is the memory limit of a program without one: all that a 32-bit program can address.
const DefaultMemory = 4 << 30

// memoryBudget is the linear memory that a program, or a set of programs, may use.
type memoryBudget struct {
	limit  int64
	used   atomic.Int64
	denied atomic.Bool
	parent *memoryBudget
}

// take reserves n more bytes, in this budget and in the budget of its set.
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
// If the limit is below the program's initial memory, it panics with a memoryError.
func (m *memoryBudget) Allocate(_, most uint64) experimental.LinearMemory {
	if m.limit > 0 {
		most = min(most, uint64(m.limit))
	}
	return &linearMemory{budget: m, max: most}
}

// linearMemory is the linear memory of one instance.
type linearMemory struct {
	budget *memoryBudget
	max    uint64
	size   uint64
	region region
}

// Reallocate implements experimental.LinearMemory. At the limit it returns nil, so that memory.grow answers -1.
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

// memoryError says that a program's initial memory exceeds its limit.
type memoryError struct{ need, limit uint64 }

func (e memoryError) Error() string {
	return fmt.Sprintf("out of memory: it starts with %d MiB, the limit is %d MiB", e.need>>20, e.limit>>20)
}
