package archive

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"

	"github.com/MordragT/nuka/protocol"
)

// Squashfs 4.0, as the kernel reads it (Documentation/filesystems/squashfs.rst, fs/squashfs/squashfs_fs.h). All numbers are little-endian.
const (
	squashMagic     = "hsqs"
	squashSuper     = 96      // bytes of the superblock
	squashMeta      = 8 << 10 // bytes of a metadata block
	squashMaxBlock  = 1 << 20 // bytes of a data block
	squashNone      = 1<<32 - 1
	squashPlainMeta = 1 << 15 // in the size of a metadata block: it is not compressed
	squashPlainData = 1 << 24 // the same in the size of a data block
	squashMetaKept  = 128     // metadata blocks that are kept unpacked
)

// The compressions of a squashfs.
const (
	squashGzip = 1
	squashXZ   = 4
	squashZstd = 6
)

var squashOthers = map[uint16]string{2: "lzma", 3: "lzo", 5: "lz4"}

// A squashfs is an image of a read-only file system.
type squashfs struct {
	image                   io.ReaderAt
	size                    int64
	block                   int64 // bytes of a data block
	compression             uint16
	zstd                    *zstd.Decoder
	inodes, dirs, fragments int64 // where the tables begin
	fragmentCount           uint32
	root                    uint64 // the place of the root's inode

	meta     map[int64]metaBlock // by place
	fragment struct {            // that was read last
		at    int64
		bytes []byte
	}
}

type metaBlock struct {
	bytes []byte
	next  int64 // the place of the next block
}

var errSquash = errors.New("squashfs: the image is broken")

// openSquashfs reads the superblock of an image.
func openSquashfs(image io.ReaderAt, size int64) (*squashfs, error) {
	var b [squashSuper]byte
	if _, err := image.ReadAt(b[:], 0); err != nil {
		return nil, fmt.Errorf("%w: its superblock: %w", errSquash, err)
	}
	le := binary.LittleEndian
	s := &squashfs{
		image: image, size: min(size, int64(min(le.Uint64(b[40:]), 1<<62))), block: int64(le.Uint32(b[12:])), fragmentCount: le.Uint32(b[16:]), compression: le.Uint16(b[20:]),
		root: le.Uint64(b[32:]), inodes: int64(le.Uint64(b[64:])), dirs: int64(le.Uint64(b[72:])), fragments: int64(le.Uint64(b[80:])),
		meta: map[int64]metaBlock{},
	}
	if string(b[:4]) != squashMagic || le.Uint16(b[28:]) != 4 || s.block < 4096 || s.block > squashMaxBlock || s.block&(s.block-1) != 0 {
		return nil, fmt.Errorf("%w: no superblock of version 4", errSquash)
	}
	switch s.compression {
	case squashGzip, squashXZ:
	case squashZstd:
		var err error
		s.zstd, err = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(squashMaxBlock), zstd.WithDecoderMaxWindow(squashMaxBlock), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
	default:
		name := squashOthers[s.compression]
		if name == "" {
			return nil, fmt.Errorf("%w: compression %d", errSquash, s.compression)
		}
		return nil, protocol.Errorf(protocol.Invalid, "squashfs: it is compressed with %s, which is not supported", name)
	}
	return s, nil
}

func (s *squashfs) close() {
	if s.zstd != nil {
		s.zstd.Close()
	}
}

// stored reads n bytes at a place.
func (s *squashfs) stored(at, n int64) ([]byte, error) {
	if at < 0 || n < 0 || at > s.size || n > s.size-at {
		return nil, fmt.Errorf("%w: it refers to what is behind its end", errSquash)
	}
	b := make([]byte, n)
	if _, err := s.image.ReadAt(b, at); err != nil {
		return nil, fmt.Errorf("squashfs: %w", err)
	}
	return b, nil
}

// unpack decompresses a block of at most limit bytes.
func (s *squashfs) unpack(packed []byte, limit int64) ([]byte, error) {
	var r io.Reader
	switch s.compression {
	case squashGzip:
		z, err := zlib.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, fmt.Errorf("squashfs: %w", err)
		}
		r = z
	case squashXZ:
		z, err := xz.NewReader(bytes.NewReader(packed), squashMaxBlock)
		if err != nil {
			return nil, fmt.Errorf("squashfs: %w", err)
		}
		r = z
	case squashZstd:
		b, err := s.zstd.DecodeAll(packed, make([]byte, 0, limit))
		if err != nil {
			return nil, fmt.Errorf("squashfs: %w", err)
		}
		r = bytes.NewReader(b)
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("squashfs: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: a block has more than %d bytes", errSquash, limit)
	}
	return b, nil
}

// metaAt returns the metadata block at a place.
func (s *squashfs) metaAt(at int64) (metaBlock, error) {
	if m, ok := s.meta[at]; ok {
		return m, nil
	}
	head, err := s.stored(at, 2)
	if err != nil {
		return metaBlock{}, err
	}
	size := binary.LittleEndian.Uint16(head)
	n := int64(size &^ squashPlainMeta)
	b, err := s.stored(at+2, n)
	if err == nil && size&squashPlainMeta == 0 {
		b, err = s.unpack(b, squashMeta)
	}
	if err == nil && (len(b) == 0 || len(b) > squashMeta) {
		err = fmt.Errorf("%w: a metadata block of %d bytes", errSquash, len(b))
	}
	if err != nil {
		return metaBlock{}, err
	}
	if len(s.meta) >= squashMetaKept {
		clear(s.meta)
	}
	m := metaBlock{b, at + 2 + n}
	s.meta[at] = m
	return m, nil
}

// A metaReader reads the bytes of metadata blocks one after the other.
type metaReader struct {
	s    *squashfs
	at   int64 // the place of the block
	from int   // the next byte of it
}

func (m *metaReader) Read(p []byte) (int, error) {
	b, err := m.s.metaAt(m.at)
	if err != nil {
		return 0, err
	}
	if m.from > len(b.bytes) {
		return 0, fmt.Errorf("%w: a place behind its block", errSquash)
	}
	n := copy(p, b.bytes[m.from:])
	if m.from += n; m.from == len(b.bytes) {
		m.at, m.from = b.next, 0
	}
	return n, nil
}

// next returns the next n bytes.
func (m *metaReader) next(n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(m, b)
	return b, err
}

// fragmentOf returns the bytes of a fragment block: the ends of several files.
func (s *squashfs) fragmentOf(index uint32) ([]byte, error) {
	if index >= s.fragmentCount {
		return nil, fmt.Errorf("%w: fragment %d of %d", errSquash, index, s.fragmentCount)
	}
	const inBlock = squashMeta / 16
	pointer, err := s.stored(s.fragments+int64(index/inBlock)*8, 8)
	if err != nil {
		return nil, err
	}
	r := &metaReader{s, int64(binary.LittleEndian.Uint64(pointer)), int(index%inBlock) * 16}
	e, err := r.next(16)
	if err != nil {
		return nil, err
	}
	at, size := int64(binary.LittleEndian.Uint64(e)), binary.LittleEndian.Uint32(e[8:])
	if s.fragment.bytes != nil && s.fragment.at == at {
		return s.fragment.bytes, nil
	}
	b, err := s.dataAt(at, size, s.block)
	if err != nil {
		return nil, err
	}
	s.fragment.at, s.fragment.bytes = at, b
	return b, nil
}

// dataAt returns the bytes of a data block, of which size says how it is stored.
func (s *squashfs) dataAt(at int64, size uint32, limit int64) ([]byte, error) {
	n := int64(size &^ squashPlainData)
	if n > squashMaxBlock+squashMeta {
		return nil, fmt.Errorf("%w: a block of %d bytes", errSquash, n)
	}
	b, err := s.stored(at, n)
	if err == nil && size&squashPlainData == 0 {
		b, err = s.unpack(b, limit)
	}
	return b, err
}
