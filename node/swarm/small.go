package swarm

import (
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/MordragT/nuka/protocol"
)

const (
	// smallBelow is the measured rate, in bytes a second, below which a peer is asked to compress.
	smallBelow = 4 << 20
	// trySize is how much of a block is compressed to see whether it helps.
	trySize = 16 << 10
)

// A zstd encoder or decoder is made once and used by all.
var (
	encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	})
	decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(protocol.MaxBlock))
	})
)

// small compresses blocks; its zero value is ready.
type small struct{ buf []byte }

// compress returns a smaller form of a block, or the block. What it returns is valid until the next call.
func (c *small) compress(b []byte) (protocol.Encoding, []byte) {
	z, err := encoder()
	if err != nil || len(b) < 64 {
		return protocol.Plain, b
	}
	try := b[:min(len(b), trySize)]
	if c.buf = z.EncodeAll(try, c.buf[:0]); len(c.buf) > len(try)-len(try)/8 {
		return protocol.Plain, b
	}
	if len(try) < len(b) {
		c.buf = z.EncodeAll(b, c.buf[:0])
	}
	if len(c.buf) >= len(b) {
		return protocol.Plain, b
	}
	return protocol.Zstd, c.buf
}

// decompress writes a block of a known size to to.
func decompress(frame, to []byte) error {
	z, err := decoder()
	if err != nil {
		return err
	}
	out, err := z.DecodeAll(frame, to[:0:len(to)])
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	if len(out) != len(to) {
		return errors.New("zstd: another size than the block's")
	}
	return nil
}

// decompressLines returns the lines of a frame, at most MaxLines bytes.
func decompressLines(frame []byte) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(frame); err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if !h.HasFCS || h.FrameContentSize > protocol.MaxLines {
		return nil, errors.New("zstd: a frame that does not say its size, or says too much")
	}
	lines := make([]byte, h.FrameContentSize)
	return lines, decompress(frame, lines)
}
