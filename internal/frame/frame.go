// Package frame is the framing of the protocols between processes of nuka: each message is its length, four bytes in big-endian order, and
// as many bytes.
package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// headSize is how long the length is.
	headSize = 4
	// smallBody is how long a body is at most that Write sends in one piece with its head.
	smallBody = 16 << 10
)

// A LengthError says that a message is longer than the limit. Nothing of it was written, or read beyond its length.
type LengthError struct{ Length, Limit int64 }

func (e *LengthError) Error() string {
	return fmt.Sprintf("a message of %d bytes is longer than %d", e.Length, e.Limit)
}

// Write writes prefix, and one message, which is head and body, one behind the other. It writes a small message in one piece, and does not copy a large body.
// A message longer than limit is a *LengthError.
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

// Read reads one message. Before its bytes arrive it takes at most first bytes of memory for them, whatever length they claim.
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
