package crclog

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// Framed is the format of the store's journal. A record is
//
//	length of body, 4 bytes little endian
//	CRC-32C of body, 4 bytes little endian
//	body: '+' to set or '-' to delete, length of key as uvarint, key, value
var Framed Format = framed{}

type framed struct{}

const (
	// maxBody bounds the memory used for a damaged length.
	maxBody = 64 << 20

	opSet    = '+'
	opDelete = '-'
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (framed) Fits(key, value int) bool {
	return key > 0 && key+value <= maxBody-1-binary.MaxVarintLen32
}

func (framed) Append(b []byte, r Record) []byte {
	op := byte(opSet)
	if r.Deleted {
		op = opDelete
	}
	body := make([]byte, 0, 12+len(r.Key)+len(r.Value))
	body = append(body, op)
	body = binary.AppendUvarint(body, uint64(len(r.Key)))
	body = append(body, r.Key...)
	body = append(body, r.Value...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(body, castagnoli))
	return append(b, body...)
}

func (framed) next(in *bufio.Reader) (Record, int64, error) {
	var head [8]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		if err == io.ErrUnexpectedEOF {
			err = ErrTorn
		}
		return Record{}, 0, err
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size < 2 || size > maxBody {
		return Record{}, 0, ErrTorn
	}
	// A damaged length must not allocate its size: the buffer grows with the bytes that follow.
	body, err := io.ReadAll(io.LimitReader(in, int64(size)))
	if err != nil {
		return Record{}, 0, err
	}
	if len(body) != int(size) || crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return Record{}, 0, ErrTorn
	}
	keyLen, n := binary.Uvarint(body[1:])
	if n <= 0 || keyLen == 0 || keyLen > uint64(len(body)-1-n) || body[0] != opSet && body[0] != opDelete {
		return Record{}, 0, ErrTorn
	}
	rest := body[1+n:]
	return Record{body[0] == opDelete, rest[:keyLen], rest[keyLen:]}, int64(len(head)) + int64(size), nil
}
