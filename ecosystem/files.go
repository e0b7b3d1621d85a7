package ecosystem

import (
	"io"

	"github.com/MordragT/nuka/pir"
)

// Files is the set of operations that a Recorder needs of a store. Methods are called by several goroutines at once.
type Files interface {
	// Find returns the file that was kept with a promised hash, its B3 hash and its size. ok is false if there is none.
	Find(promised pir.Hash) (hash pir.Hash, size int64, ok bool)
	// Create begins a file.
	Create() (Writer, error)
	// Open opens a file that was kept, by its B3 hash. The caller closes it. If there is none, the error wraps fs.ErrNotExist.
	Open(hash pir.Hash) (io.ReadSeekCloser, error)
}

// A Writer is a file that is not kept yet. One goroutine uses it at a time.
type Writer interface {
	io.Writer
	// ReaderAt reads what was written.
	io.ReaderAt
	// Commit keeps the file and returns its B3 hash. Find finds it by each of the other hashes, which the caller computed over the same bytes.
	Commit(also ...pir.Hash) (hash pir.Hash, size int64, err error)
	// Close discards the file unless it was committed. It may be called more than once.
	Close() error
}
