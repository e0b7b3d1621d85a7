package crclog

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// Summed is the format of the log of announcements. A record is
//
//	length of key as uvarint
//	0 to delete, or length of value + 1, as uvarint
//	key, value
//	CRC-32 (IEEE) of everything before, 4 bytes big endian
var Summed Format = summed{}

type summed struct{}

// maxSummed bounds the length of a key, and the length of a value plus one.
const maxSummed = 1 << 20

func (summed) Fits(key, value int) bool { return key > 0 && key <= maxSummed && value < maxSummed }

func (summed) Append(b []byte, r Record) []byte {
	begin := len(b)
	size := uint64(len(r.Value)) + 1
	if r.Deleted {
		r.Value, size = nil, 0
	}
	b = binary.AppendUvarint(b, uint64(len(r.Key)))
	b = binary.AppendUvarint(b, size)
	b = append(b, r.Key...)
	b = append(b, r.Value...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[begin:]))
}

func (summed) next(in *bufio.Reader) (Record, int64, error) {
	if _, err := in.Peek(1); err != nil {
		return Record{}, 0, err // io.EOF if nothing follows
	}
	keyLen, err := readLength(in)
	if err != nil {
		return Record{}, 0, err
	}
	valueLen, err := readLength(in)
	if err != nil {
		return Record{}, 0, err
	}
	if keyLen == 0 {
		return Record{}, 0, ErrTorn
	}
	size := max(valueLen, 1) - 1
	b := make([]byte, keyLen+size+4)
	if _, err := io.ReadFull(in, b); err != nil {
		return Record{}, 0, tornAtEnd(err)
	}
	r := Record{Deleted: valueLen == 0, Key: b[:keyLen:keyLen]}
	if !r.Deleted {
		r.Value = b[keyLen : keyLen+size : keyLen+size]
	}
	// Comparing with the encoding also detects lengths that use more bytes than necessary.
	again := summed{}.Append(make([]byte, 0, len(b)+2*binary.MaxVarintLen32), r)
	if binary.BigEndian.Uint32(again[len(again)-4:]) != binary.BigEndian.Uint32(b[keyLen+size:]) {
		return Record{}, 0, ErrTorn
	}
	return r, int64(len(again)), nil
}

// readLength reads a uvarint of at most maxSummed.
func readLength(in *bufio.Reader) (uint64, error) {
	b, err := in.Peek(binary.MaxVarintLen32) // shorter at the end of the log
	n, size := binary.Uvarint(b)
	switch {
	case size > 0 && n <= maxSummed:
		_, err = in.Discard(size)
		return n, err
	case size == 0 && err != nil:
		return 0, tornAtEnd(err)
	}
	return 0, ErrTorn
}
