package cas

import (
	"fmt"
	"time"

	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir/cid"
)

// An Event is something that happened to the store without a call for it: one of the types below.
type Event interface {
	// String describes the event in one line.
	String() string
}

// Quarantined says that a blob did not have the bytes that its name promises and has been set aside.
type Quarantined struct {
	Blob   string // its name
	Path   string // where the file is now; empty if there is none
	Reason string
}

func (e Quarantined) String() string {
	return fmt.Sprintf("blob %s is damaged (%s) and was set aside", e.Blob, e.Reason)
}

// Rebuilding says that the index is rebuilt, and how far that is.
type Rebuilding index.Progress

func (e Rebuilding) String() string {
	if e.Done {
		return fmt.Sprintf("index rebuilt from %d blobs in %s (%s)", e.Blobs, e.Elapsed.Round(time.Millisecond), e.Reason)
	}
	return fmt.Sprintf("rebuilding the index: %d blobs, %d MiB (%s)", e.Blobs, e.Bytes>>20, e.Reason)
}

// Recovered says that a crash has cut off an import and that its files have been removed.
type Recovered struct {
	Removed int // blobs that had their final names
}

func (e Recovered) String() string {
	return fmt.Sprintf("removed the files of an import that was cut off: %d blobs", e.Removed)
}

func (s *Store) event(e Event) {
	s.log.Info(e.String())
	if s.o.Event != nil {
		s.o.Event(e)
	}
}

func (s *Store) rebuilding(p index.Progress) { s.event(Rebuilding(p)) }

func (s *Store) quarantined(blob cid.CID, path, reason string) {
	s.event(Quarantined{Blob: blob.String(), Path: path, Reason: reason})
}
