package source

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/MordragT/nuka/protocol"
)

// unpackZip unpacks a zip after checking that its two lists of entries,
// the central directory and the local headers, say the same:
// tools that read different ones would unpack different files.
func unpackZip(w *treeWriter, file io.ReaderAt, size int64) error {
	// Before the library makes a record of each entry: this reads the least.
	offsets, err := centralOffsets(file, size)
	if err != nil {
		return err
	}
	if len(offsets) > w.limits.Files {
		return protocol.Errorf(protocol.Exhausted, "zip: %d entries are more than the limit of %d", len(offsets), w.limits.Files)
	}
	zr, err := zip.NewReader(file, size)
	if err != nil {
		return fmt.Errorf("zip: %w", err)
	}
	if err := checkLocalHeaders(file, offsets, zr); err != nil {
		return err
	}
	for _, entry := range zr.File {
		if err := w.zipEntry(entry); err != nil {
			return err
		}
	}
	return nil
}

func (w *treeWriter) zipEntry(entry *zip.File) error {
	if entry.UncompressedSize64 > 1<<62 {
		return refuse(entry.Name, "an impossible size")
	}
	if err := w.admit(entry.Name, int64(entry.UncompressedSize64)); err != nil {
		return err
	}
	mode := entry.Mode()
	switch {
	case strings.HasSuffix(entry.Name, "/") || mode.IsDir():
		return w.dir(entry.Name)
	case mode&(fs.ModeSetuid|fs.ModeSetgid) != 0:
		return refuse(entry.Name, "a file that runs as another user")
	case mode&fs.ModeSymlink != 0:
		if entry.UncompressedSize64 > 4096 {
			return refuse(entry.Name, "an overlong link")
		}
		target, err := readEntry(entry)
		if err != nil {
			return fmt.Errorf("entry %.200q: %w", entry.Name, err)
		}
		return w.symlink(entry.Name, target)
	case !mode.IsRegular():
		return refuse(entry.Name, "an entry such as a device")
	}
	content, err := entry.Open()
	if err != nil {
		return fmt.Errorf("entry %.200q: %w", entry.Name, err)
	}
	defer content.Close()
	return w.file(entry.Name, int64(entry.UncompressedSize64), mode&0o111 != 0, w.bounded(content))
}

func readEntry(entry *zip.File) (string, error) {
	r, err := entry.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, int64(entry.UncompressedSize64)+1))
	return string(content), err
}

const (
	localHeaderLen  = 30
	localSignature  = 0x04034b50
	centralLen      = 46
	centralSig      = 0x02014b50
	endLen          = 22
	endSig          = 0x06054b50
	zip64Marker     = 0xffffffff
	dataDescriptor  = 0x8
	maxZipDirectory = 256 << 20
)

// checkLocalHeaders compares each local header with its central one,
// and refuses entries whose data overlap (a bomb that counts the same bytes many times).
func checkLocalHeaders(file io.ReaderAt, offsets []int64, zr *zip.Reader) error {
	if len(offsets) != len(zr.File) {
		return errors.New("zip: the directory and its count of entries disagree")
	}
	type span struct {
		from, to int64
		name     string
	}
	spans := make([]span, 0, len(offsets))
	for i, entry := range zr.File {
		var h [localHeaderLen]byte
		if _, err := file.ReadAt(h[:], offsets[i]); err != nil {
			return refuse(entry.Name, "no local header")
		}
		name := make([]byte, binary.LittleEndian.Uint16(h[26:]))
		if _, err := file.ReadAt(name, offsets[i]+localHeaderLen); err != nil {
			return refuse(entry.Name, "no local header")
		}
		flags := binary.LittleEndian.Uint16(h[6:])
		compressed, plain := binary.LittleEndian.Uint32(h[18:]), binary.LittleEndian.Uint32(h[22:])
		switch {
		case binary.LittleEndian.Uint32(h[:]) != localSignature:
			return refuse(entry.Name, "no local header")
		case string(name) != entry.Name:
			return refuse(entry.Name, fmt.Sprintf("another name, %.100q, in the local header", name))
		case binary.LittleEndian.Uint16(h[8:]) != entry.Method:
			return refuse(entry.Name, "another method in the local header")
		case flags&dataDescriptor == 0 && compressed != zip64Marker && plain != zip64Marker &&
			(uint64(compressed) != entry.CompressedSize64 || uint64(plain) != entry.UncompressedSize64):
			return refuse(entry.Name, "another size in the local header")
		}
		data, err := entry.DataOffset()
		if err != nil {
			return refuse(entry.Name, "no data")
		}
		if entry.CompressedSize64 > 1<<62 {
			return refuse(entry.Name, "an impossible size")
		}
		spans = append(spans, span{offsets[i], data + int64(entry.CompressedSize64), entry.Name})
	}
	slices.SortFunc(spans, func(a, b span) int { return int(min(1, max(-1, a.from-b.from))) })
	for i := 1; i < len(spans); i++ {
		if spans[i].from < spans[i-1].to {
			return refuse(spans[i].name, fmt.Sprintf("its data overlap those of %.100q", spans[i-1].name))
		}
	}
	return nil
}

// centralOffsets returns where the central directory says the local headers are.
func centralOffsets(file io.ReaderAt, fileSize int64) ([]int64, error) {
	var end [endLen]byte
	at := fileSize - endLen
	if at < 0 {
		return nil, errors.New("zip: too short")
	}
	if _, err := file.ReadAt(end[:], at); err != nil {
		return nil, err
	}
	// A comment would leave room for a second end record that another tool might take.
	if binary.LittleEndian.Uint32(end[:]) != endSig || binary.LittleEndian.Uint16(end[20:]) != 0 {
		return nil, errors.New("zip: data or a comment after the end of the archive")
	}
	size, start := binary.LittleEndian.Uint32(end[12:]), binary.LittleEndian.Uint32(end[16:])
	if size == zip64Marker || start == zip64Marker || binary.LittleEndian.Uint16(end[10:]) == 0xffff {
		return nil, errors.New("zip: archives of 4 GiB or 65,535 entries and more are not supported; use a tar")
	}
	if size > maxZipDirectory || int64(start)+int64(size) != at {
		return nil, errors.New("zip: the directory is not where the end record says")
	}
	dir := make([]byte, size)
	if _, err := file.ReadAt(dir, int64(start)); err != nil {
		return nil, err
	}
	var offsets []int64
	for len(dir) > 0 {
		if len(dir) < centralLen || binary.LittleEndian.Uint32(dir) != centralSig {
			return nil, errors.New("zip: broken directory")
		}
		length := centralLen + int(binary.LittleEndian.Uint16(dir[28:])) +
			int(binary.LittleEndian.Uint16(dir[30:])) + int(binary.LittleEndian.Uint16(dir[32:]))
		if len(dir) < length {
			return nil, errors.New("zip: broken directory")
		}
		offsets = append(offsets, int64(binary.LittleEndian.Uint32(dir[42:])))
		dir = dir[length:]
	}
	return offsets, nil
}
