// Package crclog encodes and decodes logs of changes in which each record carries a checksum.
//
// A log is a file to which records are appended; a record sets a key to a value or deletes the key.
// A crash may leave a torn record at the end of a log. Read stops there and says how long the whole records before it are.
// A Format is a layout of records. There are two, because two kinds of logs exist on disk; neither ever changes.
package crclog

import (
	"bufio"
	"errors"
	"io"
)

// ErrTorn reports that a log ends with an incomplete or damaged record.
var ErrTorn = errors.New("the record is torn or damaged")

// A Record is one change: Key is set to Value, or deleted.
type Record struct {
	Deleted    bool
	Key, Value []byte
}

// A Format is a layout of records.
type Format interface {
	// Append appends the encoding of a record to b. The key must not be empty.
	Append(b []byte, r Record) []byte
	// Fits reports whether Read accepts a record with a key and a value of these lengths.
	Fits(key, value int) bool
	// next reads one record and returns its length.
	// The error is io.EOF if nothing follows, the reader's error if it failed, and ErrTorn for anything else that is not a record.
	next(in *bufio.Reader) (Record, int64, error)
}

// Read calls fn for each record of a log and returns the total length of the records for which fn returned nil.
// The error is nil if the log ends after a whole record, and ErrTorn if a torn or damaged record follows. Otherwise it is the error of
// fn or of the reader. Read stops at a torn record. fn may keep the record.
func Read(f Format, in io.Reader, fn func(Record) error) (good int64, err error) {
	buffered := bufio.NewReaderSize(in, 1<<20)
	for {
		r, n, err := f.next(buffered)
		if err == io.EOF {
			return good, nil
		}
		if err != nil {
			return good, err
		}
		if err := fn(r); err != nil {
			return good, err
		}
		good += n
	}
}

// tornAtEnd turns the errors of a reader that ended within a record into ErrTorn.
func tornAtEnd(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrTorn
	}
	return err
}
