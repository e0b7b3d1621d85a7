package fsmount

import (
	"container/list"
	"os"
	"sync"
)

// maxReading is how many blobs the daemon keeps open for a connection, to read them for the kernel.
const maxReading = 128

// reading has the blobs that the daemon has read last for the kernel, open. The kernel does not say when it needs one no longer. The zero value is empty.
// Methods may be called from many goroutines.
type reading struct {
	mu     sync.Mutex
	at     map[uint64]*list.Element // of *readBlob, by node id
	recent list.List                // the blob that was read last at the front
}

type readBlob struct {
	node  uint64
	file  *os.File
	stamp blobStamp
}

// get returns the open blob of a node. nil: there is none, or it is not as it was when it was compared with its hash. Another goroutine may close the
// blob at any time.
func (r *reading) get(node uint64) *os.File {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.at[node]
	if e == nil {
		return nil
	}
	b := e.Value.(*readBlob)
	if now, err := stampOf(b.file); err != nil || now != b.stamp {
		r.remove(e)
		return nil
	}
	r.recent.MoveToFront(e)
	return b.file
}

// put keeps the blob of a node, which was just compared with its hash. It returns the blob to read.
func (r *reading) put(node uint64, blob *os.File) *os.File {
	stamp, err := stampOf(blob)
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.at[node]; e != nil {
		r.remove(e)
	}
	if err != nil { // it does not match the next time
		stamp = blobStamp{}
	}
	if r.at == nil {
		r.at = map[uint64]*list.Element{}
	}
	r.at[node] = r.recent.PushFront(&readBlob{node, blob, stamp})
	if r.recent.Len() > maxReading {
		r.remove(r.recent.Back())
	}
	return blob
}

// remove closes a blob. The caller has locked.
func (r *reading) remove(e *list.Element) {
	b := r.recent.Remove(e).(*readBlob)
	delete(r.at, b.node)
	b.file.Close() //nolint:errcheck // it was only read
}

// drop closes the blobs for which which returns true.
func (r *reading) drop(which func(node uint64) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for e := r.recent.Front(); e != nil; {
		next := e.Next()
		if which(e.Value.(*readBlob).node) {
			r.remove(e)
		}
		e = next
	}
}
