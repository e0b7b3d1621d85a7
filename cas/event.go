package cas

import (
	"fmt"
	"time"
)

// An Event is something that happened to the store that nobody asked for: one of the types below.
type Event interface {
	// String describes the event in one line.
	String() string
}

// Quarantined says that a blob was not what its name says and has been set aside.
type Quarantined struct {
	Blob   string // its name
	Path   string // where it is now; empty when there is no file
	Reason string
}

func (e Quarantined) String() string {
	return fmt.Sprintf("blob %s is damaged (%s) and was set aside", e.Blob, e.Reason)
}

// Rebuilding says that the index is made anew, and how far that is.
type Rebuilding struct {
	Reason      string
	Blobs       int
	Bytes       int64
	Done        bool
	Elapsed     time.Duration
	Quarantined int
}

func (e Rebuilding) String() string {
	if e.Done {
		return fmt.Sprintf("index rebuilt from %d blobs in %s (%s)", e.Blobs, e.Elapsed.Round(time.Millisecond), e.Reason)
	}
	return fmt.Sprintf("rebuilding the index: %d blobs, %d MiB (%s)", e.Blobs, e.Bytes>>20, e.Reason)
}

// Recovered says that an import was cut off by a crash and its files have been removed.
type Recovered struct {
	Removed int // blobs that had their names already
}

func (e Recovered) String() string {
	return fmt.Sprintf("removed what a cut-off import had left: %d blobs", e.Removed)
}
