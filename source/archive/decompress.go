package archive

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
	"github.com/ulikunitz/xz/lzma"

	"github.com/MordragT/nuka/protocol"
)

// Bounds on a decompressor's window. The tools accept the same sizes.
const (
	maxXZDictionary = 64 << 20  // xz -9
	maxZstdWindow   = 128 << 20 // zstd --long=27
)

// Decompress detects the compression from the first bytes and returns the decompressed content, all streams one after the other.
// Packed is false for a tar that is not compressed.
// Everything runs in the caller's goroutine, so the caller can recover from a panic.
func Decompress(in io.Reader) (plain io.Reader, packed bool, closeReader func(), err error) {
	buffered := bufio.NewReaderSize(in, 256<<10)
	magic, _ := buffered.Peek(13)
	nothing := func() {}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		r, err := newGzipStreams(buffered)
		return r, true, nothing, err
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		r, err := xz.NewReader(buffered, maxXZDictionary)
		return r, true, nothing, err
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}), isSkippableFrame(magic):
		r, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, true, nothing, err
		}
		return r, true, r.Close, nil
	case bytes.HasPrefix(magic, []byte("BZh")):
		return bzip2.NewReader(buffered), true, nothing, nil
	case isLZMA(magic):
		r, err := lzma.NewReader(buffered)
		return r, true, nothing, err
	}
	if head, _ := buffered.Peek(tarBlock); isTarHeader(head) {
		return buffered, false, nothing, nil
	}
	return nil, false, nothing, protocol.Errorf(protocol.Invalid, "no archive of a known format (tar, also with gzip, xz, lzma, zstd or bzip2; zip; squashfs; AppImage)").
		WithHint("if it is to stay one file: --unpack file")
}

// isSkippableFrame reports whether a zstd file begins with a frame without content (RFC 8878, 3.1.2).
func isSkippableFrame(magic []byte) bool {
	return len(magic) >= 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:4], []byte{0x2a, 0x4d, 0x18})
}

// isLZMA reports whether a file begins like one in the format that preceded xz, with the settings that its tools write:
// the format has no magic number.
func isLZMA(magic []byte) bool {
	if len(magic) < 13 || magic[0] != 0x5d {
		return false
	}
	dictionary, size := binary.LittleEndian.Uint32(magic[1:]), binary.LittleEndian.Uint64(magic[5:])
	return dictionary >= 1<<12 && dictionary <= maxXZDictionary && dictionary&(dictionary-1) == 0 && (size == 1<<64-1 || size < 1<<40)
}

const tarBlock = 512

// isTarHeader reports whether a block has a valid checksum. Every kind of tar has one, and v7 has nothing else to recognise it by.
func isTarHeader(block []byte) bool {
	if len(block) < tarBlock {
		return false
	}
	var declared, unsigned, signed int64
	digits := bytes.Trim(block[148:156], " \x00")
	if len(digits) == 0 {
		return false
	}
	for _, c := range digits {
		if c < '0' || c > '7' {
			return false
		}
		declared = declared*8 + int64(c-'0')
	}
	for i, c := range block[:tarBlock] {
		if i >= 148 && i < 156 {
			c = ' '
		}
		unsigned, signed = unsigned+int64(c), signed+int64(int8(c))
	}
	return declared == unsigned || declared == signed
}

var errTrailing = errors.New("data after the end of the compressed stream")

// gzipStreams reads several gzip streams as one and ignores zeros after them, as gzip does.
type gzipStreams struct {
	in *bufio.Reader
	z  *gzip.Reader
}

func newGzipStreams(in *bufio.Reader) (*gzipStreams, error) {
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &gzipStreams{in, z}, nil
}

func (g *gzipStreams) Read(p []byte) (int, error) {
	for {
		n, err := g.z.Read(p)
		if n > 0 || err != io.EOF {
			if err == io.EOF {
				err = nil // the next call examines what follows
			}
			return n, err
		}
		next, err := g.in.Peek(2)
		switch {
		case len(next) == 0:
			if err == nil || err == io.EOF {
				return 0, io.EOF
			}
			return 0, err
		case next[0] == 0:
			return 0, zerosToEnd(g.in, errTrailing)
		case len(next) < 2 || next[0] != 0x1f || next[1] != 0x8b:
			return 0, errTrailing
		}
		if err := g.z.Reset(g.in); err != nil {
			return 0, err
		}
		g.z.Multistream(false)
	}
}

// maxPadding bounds the zeros after an archive; tar pads to its blocking factor.
const maxPadding = 16 << 20

// zerosToEnd returns io.EOF if only zeros follow. Otherwise it returns the read error or the given error.
func zerosToEnd(r io.Reader, otherwise error) error {
	buf := make([]byte, 32<<10)
	for total := 0; ; {
		n, err := r.Read(buf)
		if total += n; total > maxPadding {
			return fmt.Errorf("more than %d zeros after the end of the archive", maxPadding)
		}
		if len(bytes.Trim(buf[:n], "\x00")) > 0 {
			return otherwise
		}
		if err != nil {
			return err
		}
	}
}
