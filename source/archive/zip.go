package archive

import (
	"compress/bzip2"
	"compress/flate"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/MordragT/nuka/protocol"
)

// Methods of compression in a zip.
const (
	zipStored   = 0
	zipDeflated = 8
	zipBzip2    = 12
	zipZstd     = 93
)

// unpackZip unpacks a zip after checking that its two lists of entries,
// the central directory and the local headers, agree:
// tools that read different ones would unpack different files.
func unpackZip(w *treeWriter, file io.ReaderAt, size int64) error {
	d, err := findZipDirectory(file, size)
	if err != nil {
		return err
	}
	entries, err := d.entries(file, w.limits.Files)
	if err != nil {
		return err
	}
	if err := checkLocalHeaders(file, d, entries); err != nil {
		return err
	}
	for i := range entries {
		if err := w.zipEntry(file, &entries[i]); err != nil {
			return err
		}
	}
	return nil
}

// File types in a zip's attributes, with Unix values (stat.h).
const (
	unixType   = 0o170000
	unixDir    = 0o040000
	unixLink   = 0o120000
	unixPipe   = 0o010000
	unixSocket = 0o140000
	unixChar   = 0o020000
	unixBlock  = 0o060000
)

func (w *treeWriter) zipEntry(file io.ReaderAt, e *zipEntry) error {
	if err := w.admit(e.name, e.size); err != nil {
		return err
	}
	mode := e.unixMode()
	if strings.HasSuffix(e.name, "/") || mode&unixType == unixDir {
		return w.dir(e.name)
	}
	switch mode & unixType {
	case unixPipe:
		return w.leaveOut(e.name, "a named pipe")
	case unixSocket:
		return w.leaveOut(e.name, "a socket")
	case unixChar, unixBlock:
		return w.leaveOut(e.name, "a device")
	}
	content, err := e.open(file)
	if err != nil {
		return err
	}
	defer content.Close()
	if mode&unixType == unixLink {
		if e.size > 4096 {
			return refuse(e.name, "an overlong link")
		}
		target, err := io.ReadAll(content)
		if err != nil {
			return fmt.Errorf("entry %.200q: %w", e.name, err)
		}
		return w.symlink(e.name, string(target))
	}
	return w.file(e.name, e.size, fs.FileMode(mode)&0o111 != 0, w.bounded(content))
}

// open returns a reader of the content that checks length and checksum at the end.
func (e *zipEntry) open(file io.ReaderAt) (io.ReadCloser, error) {
	if e.flags&(zipEncrypted|zipStrongEncryption) != 0 {
		return nil, protocol.Errorf(protocol.Invalid, "archive entry %.200q: it is encrypted", e.name).
			WithHint("take the archive as it is with --unpack file")
	}
	packed := io.NewSectionReader(file, e.data, e.packed)
	checked := &checkedReader{name: e.name, left: e.size, want: e.crc, closeReader: func() {}}
	switch e.method {
	case zipStored:
		checked.r = packed
	case zipDeflated:
		r := flate.NewReader(packed)
		checked.r, checked.closeReader = r, func() { r.Close() }
	case zipBzip2:
		checked.r = bzip2.NewReader(packed)
	case zipZstd:
		r, err := zstd.NewReader(packed, zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		checked.r, checked.closeReader = r, r.Close
	default:
		return nil, protocol.Errorf(protocol.Invalid, "archive entry %.200q: compressed with method %d, which is not supported", e.name, e.method).
			WithHint("take the archive as it is with --unpack file, and unpack it in the build")
	}
	return checked, nil
}

// A checkedReader checks the length and the CRC-32 of the bytes that it reads.
type checkedReader struct {
	name        string
	r           io.Reader
	closeReader func()
	left        int64
	crc, want   uint32
}

var errChecksum = errors.New("another checksum than declared")

func (c *checkedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.crc = crc32.Update(c.crc, crc32.IEEETable, p[:n])
	if c.left -= int64(n); c.left < 0 {
		return n, refuse(c.name, "more content than declared")
	}
	if err == io.EOF && c.left > 0 {
		return n, refuse(c.name, "less content than declared")
	}
	if err == io.EOF && c.crc != c.want {
		return n, fmt.Errorf("zip: entry %.200q: %w", c.name, errChecksum)
	}
	return n, err
}

func (c *checkedReader) Close() error {
	c.closeReader()
	return nil
}
