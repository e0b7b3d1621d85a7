package swarm

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

const (
	// smallBelow is the measured rate, in bytes a second, below which a peer is asked to compress.
	smallBelow = 4 << 20
	// trySize is how much of a block is compressed to see whether it helps.
	trySize = 16 << 10
	// leastFrame is from how many bytes on something is compressed: the encoder writes the size into frames of as many or more,
	// and a receiver wants to see it.
	leastFrame = 256
)

// A codec compresses and decompresses, for all streams of a swarm.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(max(protocol.MaxBlock, pir.MaxSize)))
	return &codec{enc, dec}, err
}

// compress returns a smaller form of a block, or the block. The smaller form is in buf, which is returned and may have grown.
func (c *codec) compress(b, buf []byte) (e protocol.Encoding, out, grown []byte) {
	if len(b) < leastFrame {
		return protocol.Plain, b, buf
	}
	try := b[:min(len(b), trySize)]
	if buf = c.enc.EncodeAll(try, buf[:0]); len(buf) > len(try)-len(try)/8 {
		return protocol.Plain, b, buf
	}
	if len(try) < len(b) {
		buf = c.enc.EncodeAll(b, buf[:0])
	}
	if len(buf) >= len(b) {
		return protocol.Plain, b, buf
	}
	return protocol.Zstd, buf, buf
}

// decompress writes a block of a known size to to.
func (c *codec) decompress(frame, to []byte) error {
	out, err := c.dec.DecodeAll(frame, to[:0:len(to)])
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	if len(out) != len(to) {
		return errors.New("zstd: another size than the block's")
	}
	return nil
}

// lines returns the lines of a frame, at most MaxLines bytes.
func (c *codec) lines(frame []byte) ([]byte, error) { return c.frame(frame, protocol.MaxLines) }

// frame returns what a frame holds, which must say how much that is: at most so many bytes.
func (c *codec) frame(frame []byte, most int) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(frame); err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if !h.HasFCS || h.FrameContentSize > uint64(most) {
		return nil, errors.New("zstd: a frame that does not say its size, or says too much")
	}
	out := make([]byte, h.FrameContentSize)
	return out, c.decompress(frame, out)
}
