package index

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/internal/crclog"
)

// The journal is a log of changes of the durable tables of the index, in the format crclog.Framed, behind a line that names
// the format of the store.
//
// A change is appended before it is committed to the index, which records how long the journal then is.
// While the index is whole it decides: records of the journal beyond that length were never committed,
// and records that the journal has lost are written again from the index.
// Files are named by a number. The highest number counts: that file was complete when it got its name.

const (
	journalMagic  = formatVersion + journalTitle
	journalTitle  = " journal\n"
	journalPrefix = "journal-"
	// journalRoom is about how much room on the disk the journal has beyond its end.
	journalRoom = 256 << 10
)

// A journal is open for appending. Index.commitMu guards it.
type journal struct {
	f      *os.File
	number uint64
	end    int64 // where the next record goes
	room   int64 // up to where the disk has room set aside
	synced int64 // up to where the bytes are on disk
}

func journalName(number uint64) string { return journalPrefix + strconv.FormatUint(number, 10) }

func (j *journal) close() error { return j.f.Close() }

func (j *journal) append(records []byte) error {
	if len(records) == 0 {
		return nil
	}
	if next := j.end + int64(len(records)); next+journalRoom/2 > j.room {
		// Deleting must work on a full disk, and takes records: room for them is set aside while there is some.
		if disk.SetAsideRoom(j.f, j.end, int64(len(records))+journalRoom) {
			j.room = next + journalRoom
		}
	}
	if _, err := j.f.WriteAt(records, j.end); err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	j.end += int64(len(records))
	return nil
}

func (j *journal) sync() error {
	if err := j.f.Sync(); err != nil {
		return fmt.Errorf("sync journal: %w", err)
	}
	j.synced = j.end
	return nil
}

// position encodes the record of the index about the journal.
func (j *journal) position() []byte {
	b := binary.AppendUvarint(nil, j.number)
	b = binary.AppendUvarint(b, uint64(j.end))
	return binary.AppendUvarint(b, uint64(j.synced))
}

func decodePosition(b []byte) (number uint64, end, synced int64, err error) {
	var v [3]uint64
	for i := range v {
		n := 0
		if v[i], n = binary.Uvarint(b); n <= 0 {
			return 0, 0, 0, ErrValue
		}
		b = b[n:]
	}
	if len(b) > 0 || v[1] > 1<<62 || v[2] > v[1] || v[2] < uint64(len(journalMagic)) {
		return 0, 0, 0, ErrValue
	}
	return v[0], int64(v[1]), int64(v[2]), nil
}

// newJournal writes a journal with the records that fill puts, and makes it durable under its name.
func newJournal(d *disk.Dir, number uint64, fill func(put func(key, value []byte) error) error) (*journal, error) {
	f, err := os.CreateTemp(d.Path(disk.Tmp), "journal-")
	if err != nil {
		return nil, fmt.Errorf("write journal: %w", err)
	}
	j := &journal{f: f, number: number}
	w := bufio.NewWriterSize(f, 1<<20)
	j.end = int64(len(journalMagic))
	w.WriteString(journalMagic) // Flush returns its error
	err = fill(func(key, value []byte) error {
		rec := crclog.Framed.Append(nil, crclog.Record{Key: key, Value: value})
		j.end += int64(len(rec))
		_, err := w.Write(rec)
		return err
	})
	path := d.Path(disk.Meta, journalName(number))
	for _, f := range []func() error{
		func() error { return err },
		w.Flush,
		f.Sync,
		func() error { return os.Rename(f.Name(), path) },
		func() error { return disk.SyncDir(d.Path(disk.Meta)) },
	} {
		if err := f(); err != nil {
			return nil, errors.Join(fmt.Errorf("write journal %s: %w", path, err), j.close(), disk.RemoveIfThere(j.f.Name()))
		}
	}
	j.synced = j.end
	return j, nil
}

// readJournal calls fn for each record between two positions and returns the position after the last one that was whole
// and for which fn returned nil. The errors are those of crclog.Read.
func readJournal(f io.ReaderAt, start, end int64, fn func(crclog.Record) error) (int64, error) {
	n, err := crclog.Read(crclog.Framed, io.NewSectionReader(f, start, end-start), fn)
	return start + n, err
}

// journalFormat returns the format of the store that a journal belongs to; empty if the journal does not say.
func journalFormat(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(io.LimitReader(f, 100))
	format, _, ok := strings.Cut(string(b), journalTitle)
	if !ok || !strings.HasPrefix(format, formatPrefix) {
		return "", err
	}
	return format, nil
}

// journalNumbers returns the numbers of the journals in dir, in no order.
func journalNumbers(dir string) ([]uint64, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, e := range list {
		text, ok := strings.CutPrefix(e.Name(), journalPrefix)
		if n, err := strconv.ParseUint(text, 10, 64); ok && err == nil && strconv.FormatUint(n, 10) == text {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}

// VerifyJournal reads the journal as a rebuild would. If it is missing or damaged, VerifyJournal says what is wrong, and the
// next Open writes the journal anew from the index. A damaged journal is moved to the quarantine.
func (x *Index) VerifyJournal() (problem string, err error) {
	x.commitMu.Lock() // a renewal would remove the file
	end, name := x.journal.end, journalName(x.journal.number)
	path := x.dir.Path(disk.Meta, name)
	f, err := os.Open(path)
	x.commitMu.Unlock()
	if errors.Is(err, fs.ErrNotExist) {
		return path + " is missing", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	good, err := readJournal(f, int64(len(journalMagic)), end, checkRecord)
	if err == nil && good == end {
		return "", nil
	}
	return fmt.Sprintf("%s is damaged at byte %d of %d", path, good, end), os.Rename(path, x.dir.Quarantined(name))
}
