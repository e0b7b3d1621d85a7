package disk

import (
	"sync"

	"github.com/MordragT/nuka/pir/cid"
)

// A Buffer holds one leaf.
type Buffer [cid.LeafSize]byte

var buffers = sync.Pool{New: func() any { return new(Buffer) }}

// GetBuffer returns a buffer with any bytes in it. The caller calls Free when done with it.
func GetBuffer() *Buffer { return buffers.Get().(*Buffer) }

// Free gives the buffer to a later GetBuffer.
func (b *Buffer) Free() { buffers.Put(b) }
