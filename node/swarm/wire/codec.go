package wire

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

const (
	// trySize is how much of a block is compressed to see whether compression helps.
	trySize = 16 << 10
	// leastFrame is the least size, in bytes, that is compressed: into smaller frames the encoder does not write the content's size,
	// and a receiver refuses a frame without it.
	leastFrame = 256
)

// A Codec compresses and decompresses answers, for all streams of a swarm. Many goroutines may use it.
type Codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// NewCodec returns a Codec.
func NewCodec() (*Codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(max(protocol.MaxBlock, pir.MaxSize)))
	return &Codec{enc, dec}, err
}

// Compress returns a smaller form of b, or b itself where compression saves less than an eighth of its first trySize bytes.
// The smaller form is in buf, which is returned and may have grown.
func (c *Codec) Compress(b, buf []byte) (e protocol.Encoding, out, grown []byte) {
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

// Decompress fills to with the content of a frame. A content of another size is an error.
func (c *Codec) Decompress(frame, to []byte) error {
	out, err := c.dec.DecodeAll(frame, to[:0:len(to)])
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	if len(out) != len(to) {
		return errors.New("zstd: the content has another size than the block")
	}
	return nil
}

// Frame returns the content of a frame, which must state its size: at most so many bytes.
func (c *Codec) Frame(frame []byte, most int) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(frame); err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if !h.HasFCS || h.FrameContentSize > uint64(most) {
		return nil, errors.New("zstd: the frame states no content size, or too large a one")
	}
	out := make([]byte, h.FrameContentSize)
	return out, c.Decompress(frame, out)
}
