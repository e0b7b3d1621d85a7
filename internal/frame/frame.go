// Package frame implements the framing of the protocols between nuka's processes: each message is its length, four bytes in big-endian order,
// followed by as many bytes.
package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// headSize is the size of the length field.
	headSize = 4
	// smallBody bounds the body that Write sends in one piece with its head.
	smallBody = 16 << 10
)

// A LengthError reports a message longer than the limit. Write has written none of it, and Read has read only its length.
type LengthError struct{ Length, Limit int64 }

func (e *LengthError) Error() string {
	return fmt.Sprintf("a message of %d bytes is longer than %d", e.Length, e.Limit)
}

// Write writes prefix and one message, which is head followed by body. It writes a small message in one piece, and does not copy a large body.
// If the message is longer than limit, the error is a *LengthError.
func Write(w io.Writer, limit int, prefix, head []byte, body ...byte) error {
	n := len(head) + len(body)
	if n > limit {
		return &LengthError{int64(n), int64(limit)}
	}
	room := len(prefix) + headSize + len(head)
	if len(body) <= smallBody {
		room += len(body)
	}
	b := append(make([]byte, 0, room), prefix...)
	b = append(binary.BigEndian.AppendUint32(b, uint32(n)), head...)
	if len(body) <= smallBody {
		b, body = append(b, body...), nil
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	if len(body) > 0 {
		_, err := w.Write(body)
		return err
	}
	return nil
}

// Read reads one message. It allocates at most first bytes before the message's bytes arrive, whatever length the message claims.
// Errors: io.EOF if the reader ends before the message, io.ErrUnexpectedEOF if it ends in the message, and a *LengthError for a length above limit.
func Read(r io.Reader, limit, first int) ([]byte, error) {
	var head [headSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > int64(limit) {
		return nil, &LengthError{n, int64(limit)}
	}
	var b bytes.Buffer
	b.Grow(int(min(n, int64(first))))
	if _, err := io.CopyN(&b, r, n); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b.Bytes(), nil
}
