package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/MordragT/nuka/protocol"
)

// The records of a zip (APPNOTE.TXT).
const (
	localSig   = "PK\x03\x04"
	localLen   = 30
	centralSig = "PK\x01\x02"
	centralLen = 46
	endSig     = "PK\x05\x06"
	endLen     = 22
	locatorSig = "PK\x06\x07"
	locatorLen = 20
	end64Sig   = "PK\x06\x06"
	end64Len   = 56

	marker16, marker32 = 0xffff, 0xffffffff // the number is in a zip64 record

	maxZipDirectory = 512 << 20
	maxComment      = 1<<16 - 1
)

// Flags of an entry.
const (
	zipEncrypted        = 1 << 0
	zipDescriptor       = 1 << 3 // sizes follow the data
	zipStrongEncryption = 1 << 6
	zipUTF8             = 1 << 11
)

var le = binary.LittleEndian

// A zipDirectory is the location of the central directory.
type zipDirectory struct {
	start, size int64
	base        int64 // added to offsets if there is data before the zip
	count       uint64
	exact       bool // count is not modulo 65,536
}

// A zipEntry is a file of a zip, as listed in its central directory.
type zipEntry struct {
	name         string // UTF-8
	raw          string // raw bytes from the archive
	flags        uint16
	method       uint16
	host         byte
	attributes   uint32
	crc          uint32
	packed, size int64
	header, data int64 // offsets in the file
}

// unixMode returns the entry's mode if a Unix or macOS made it, otherwise 0.
func (e *zipEntry) unixMode() uint32 {
	if e.host == 3 || e.host == 19 {
		return e.attributes >> 16
	}
	return 0
}

// endsAsZip reports whether a file that does not begin like a zip ends like one, as self-extracting archives do.
func endsAsZip(file io.ReaderAt, size int64) bool {
	_, err := findZipDirectory(file, size)
	return err == nil
}

// findZipDirectory finds the end record, which a comment may follow, and the central directory before it.
// It refuses a file with two end records: tools search for them in different ways.
func findZipDirectory(file io.ReaderAt, size int64) (*zipDirectory, error) {
	tail := make([]byte, min(size, endLen+maxComment))
	if _, err := file.ReadAt(tail, size-int64(len(tail))); err != nil {
		return nil, fmt.Errorf("zip: %w", err)
	}
	at := -1
	for i := len(tail) - endLen; i >= 0; i-- {
		if string(tail[i:i+4]) != endSig || i+endLen+int(le.Uint16(tail[i+20:])) != len(tail) {
			continue
		}
		if at >= 0 {
			return nil, ambiguous("", "zip: it has two ends, of which tools take different ones")
		}
		at = i
	}
	if at < 0 {
		return nil, errors.New("zip: no end record, or data after the end of the archive")
	}
	end, endAt := tail[at:], size-int64(len(tail))+int64(at)
	if le.Uint16(end[4:]) != le.Uint16(end[6:]) || le.Uint16(end[4:]) != 0 && le.Uint16(end[4:]) != marker16 {
		return nil, errors.New("zip: it is one of several parts")
	}
	d := &zipDirectory{count: uint64(le.Uint16(end[10:])), size: int64(le.Uint32(end[12:]))}
	offset, before := int64(le.Uint32(end[16:])), endAt
	at64, record, err := findEnd64(file, endAt)
	if err != nil {
		return nil, err
	}
	if record != nil {
		count, dirSize, dirStart := le.Uint64(record[32:]), le.Uint64(record[40:]), le.Uint64(record[48:])
		if dirSize > 1<<62 || dirStart > 1<<62 ||
			d.count != marker16 && d.count != count || d.size != marker32 && d.size != int64(dirSize) || offset != marker32 && offset != int64(dirStart) {
			return nil, ambiguous("", "zip: its two end records disagree")
		}
		d.count, d.exact, d.size, offset, before = count, true, int64(dirSize), int64(dirStart), at64
	}
	d.start = before - d.size
	d.base = d.start - offset
	if d.size > maxZipDirectory {
		return nil, protocol.Errorf(protocol.Exhausted, "zip: its directory is longer than the limit of %d bytes", maxZipDirectory)
	}
	if d.start < 0 || d.base < 0 {
		return nil, errors.New("zip: the directory is not at the place that the end record names")
	}
	// Some tools add the length of data before the zip to each offset, others do not: refuse a file in which both find a directory.
	var sig [4]byte
	if _, err := file.ReadAt(sig[:], offset); d.base > 0 && d.size > 0 && err == nil && string(sig[:]) == centralSig {
		return nil, ambiguous("", "zip: it has two directories, of which tools take different ones")
	}
	return d, nil
}

// findEnd64 returns the zip64 end record to which a locator directly before the end record points, or nil.
func findEnd64(file io.ReaderAt, endAt int64) (int64, []byte, error) {
	locator := make([]byte, locatorLen)
	if endAt < locatorLen+end64Len {
		return 0, nil, nil
	}
	if _, err := file.ReadAt(locator, endAt-locatorLen); err != nil || string(locator[:4]) != locatorSig {
		return 0, nil, err
	}
	record := make([]byte, end64Len)
	// If there is data before the zip, the locator's offset is too small by its length; the second place is right for a record without extensions.
	for _, at := range []int64{int64(le.Uint64(locator[8:])), endAt - locatorLen - end64Len} {
		if at < 0 || at > endAt-locatorLen-end64Len {
			continue
		}
		if _, err := file.ReadAt(record, at); err != nil {
			return 0, nil, err
		}
		if string(record[:4]) == end64Sig && le.Uint64(record[4:]) == uint64(endAt-locatorLen-at-12) {
			return at, record, nil
		}
	}
	return 0, nil, errors.New("zip: no zip64 end record at the place that its locator names")
}

// entries reads the central directory.
func (d *zipDirectory) entries(file io.ReaderAt, limit int) ([]zipEntry, error) {
	if d.count > uint64(limit) {
		return nil, protocol.Errorf(protocol.Exhausted, "zip: %d entries are more than the limit of %d", d.count, limit)
	}
	dir := make([]byte, d.size)
	if _, err := file.ReadAt(dir, d.start); err != nil {
		return nil, fmt.Errorf("zip: %w", err)
	}
	var out []zipEntry
	for len(dir) > 0 {
		if len(dir) < centralLen || string(dir[:4]) != centralSig {
			return nil, errors.New("zip: broken directory")
		}
		nameLen, extraLen, commentLen := int(le.Uint16(dir[28:])), int(le.Uint16(dir[30:])), int(le.Uint16(dir[32:]))
		length := centralLen + nameLen + extraLen + commentLen
		if len(dir) < length {
			return nil, errors.New("zip: broken directory")
		}
		if len(out) == limit {
			return nil, protocol.Errorf(protocol.Exhausted, "zip: more than the limit of %d entries", limit)
		}
		e, err := readCentral(dir[:centralLen], string(dir[centralLen:centralLen+nameLen]), dir[centralLen+nameLen:centralLen+nameLen+extraLen])
		if err != nil {
			return nil, err
		}
		if e.header > d.start-d.base {
			return nil, refuse(e.raw, "no local header")
		}
		e.header += d.base
		out = append(out, e)
		dir = dir[length:]
	}
	if n := uint64(len(out)); n != d.count && (d.exact || n&marker16 != d.count) {
		return nil, errors.New("zip: the directory and its count of entries disagree")
	}
	return out, nil
}

// readCentral decodes an entry of the central directory.
func readCentral(h []byte, raw string, extra []byte) (zipEntry, error) {
	e := zipEntry{
		raw: raw, host: h[5], flags: le.Uint16(h[8:]), method: le.Uint16(h[10:]), crc: le.Uint32(h[16:]), attributes: le.Uint32(h[38:]),
		packed: int64(le.Uint32(h[20:])), size: int64(le.Uint32(h[24:])), header: int64(le.Uint32(h[42:])),
	}
	unicodeName := ""
	for len(extra) >= 4 {
		id, n := le.Uint16(extra), int(le.Uint16(extra[2:]))
		if len(extra) < 4+n {
			break // some tools pad this field
		}
		field := extra[4 : 4+n]
		switch id {
		case 0x0001: // zip64: the fields that do not fit into the header, in this order
			for _, v := range []*int64{&e.size, &e.packed, &e.header} {
				if *v != marker32 {
					continue
				}
				if len(field) < 8 {
					return e, refuse(raw, "a size that is missing")
				}
				*v, field = int64(le.Uint64(field)), field[8:]
			}
		case 0x7075: // Unicode Path: valid if it was made for this name
			if len(field) > 5 && field[0] == 1 && le.Uint32(field[1:]) == crc32.ChecksumIEEE([]byte(raw)) {
				unicodeName = string(field[5:])
			}
		}
		extra = extra[4+n:]
	}
	const most = 1 << 62
	if e.size < 0 || e.packed < 0 || e.header < 0 || e.size > most || e.packed > most || e.header > most {
		return e, refuse(raw, "an impossible size")
	}
	return e, e.decodeName(unicodeName)
}

// decodeName converts the name to UTF-8 as unzip does: it uses the flag, the Unicode Path, and the system that made the archive.
func (e *zipEntry) decodeName(unicodeName string) error {
	switch {
	case strings.Contains(e.raw, "\x00"):
		return refuse(e.raw, "a zero byte in the name")
	case unicodeName != "":
		e.name = unicodeName
	case e.flags&zipUTF8 != 0 || e.host == 3 && utf8.ValidString(e.raw) || isASCII(e.raw):
		e.name = e.raw
	default:
		name, err := charmap.CodePage437.NewDecoder().String(e.raw)
		if err != nil {
			return refuse(e.raw, err.Error())
		}
		e.name = name
	}
	if !utf8.ValidString(e.name) {
		return refuse(e.raw, "a name that is marked as UTF-8 and is not")
	}
	if (e.host == 0 || e.host == 10 || e.host == 11) && strings.Contains(e.name, `\`) && !strings.Contains(e.name, "/") {
		return ambiguous(e.raw, `a backslash, which unzip takes for a folder's end, and Python for a part of the name`)
	}
	return nil
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// checkLocalHeaders compares each local header with its central one, locates the data,
// and refuses entries whose data overlap (a bomb that counts the same bytes many times).
func checkLocalHeaders(file io.ReaderAt, d *zipDirectory, entries []zipEntry) error {
	type span struct {
		from, to int64
		name     string
	}
	spans := make([]span, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		h := make([]byte, localLen+len(e.raw))
		if _, err := file.ReadAt(h, e.header); err != nil || string(h[:4]) != localSig {
			return refuse(e.raw, "no local header")
		}
		nameLen, extraLen := int64(le.Uint16(h[26:])), int64(le.Uint16(h[28:]))
		packed, size := le.Uint32(h[18:]), le.Uint32(h[22:])
		switch {
		case nameLen != int64(len(e.raw)) || !bytes.Equal(h[localLen:], []byte(e.raw)):
			return refuse(e.raw, "another name in the local header")
		case le.Uint16(h[8:]) != e.method:
			return refuse(e.raw, "another method in the local header")
		case le.Uint16(h[6:])&zipDescriptor == 0 && packed != marker32 && size != marker32 && (int64(packed) != e.packed || int64(size) != e.size):
			return refuse(e.raw, "another size in the local header")
		}
		e.data = e.header + localLen + nameLen + extraLen
		if e.packed > d.start-e.data {
			return refuse(e.raw, "its data overlap the directory")
		}
		spans = append(spans, span{e.header, e.data + e.packed, e.name})
	}
	slices.SortFunc(spans, func(a, b span) int { return int(min(1, max(-1, a.from-b.from))) })
	for i := 1; i < len(spans); i++ {
		if spans[i].from < spans[i-1].to {
			return refuse(spans[i].name, fmt.Sprintf("its data overlap those of %.100q", spans[i-1].name))
		}
	}
	return nil
}
