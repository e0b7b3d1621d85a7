package wasmrt

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// MaxFrame is how long one message between a process and its worker may be.
const MaxFrame = 64 << 20

// smallBody is how long a body is at most that is sent in one piece with its head.
const smallBody = 16 << 10

// firstGrow is how much memory a message may have before it is there: a block and what is around it.
const firstGrow = 2 << 20

// A Conn carries messages between a process and its worker: each is a length of four bytes, big endian, and as many
// bytes. Send may be used by many goroutines, Recv by one.
type Conn struct {
	r  io.Reader
	w  io.Writer
	mu sync.Mutex
}

// NewConn returns a Conn over a reader and a writer.
func NewConn(r io.Reader, w io.Writer) *Conn { return &Conn{r: r, w: w} }

// Send writes one message, which is head and body, one behind the other; a large body is not copied.
func (c *Conn) Send(head []byte, body ...byte) error {
	n := len(head) + len(body)
	if n > MaxFrame {
		return fmt.Errorf("send message: %d bytes, more than %d", n, MaxFrame)
	}
	frame := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(head)), uint32(n)), head...)
	if len(body) <= smallBody {
		frame, body = append(frame, body...), nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.w.Write(frame)
	if err == nil && len(body) > 0 {
		_, err = c.w.Write(body)
	}
	if err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// Recv reads one message; io.EOF says that the other side closed between messages.
// Memory beyond two MiB is taken as bytes arrive, not as the length promises.
func (c *Conn) Recv() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("receive message: %w", err)
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > MaxFrame {
		return nil, fmt.Errorf("receive message: %d bytes, more than %d", n, MaxFrame)
	}
	var b bytes.Buffer
	b.Grow(int(min(n, firstGrow)))
	_, err := io.CopyN(&b, c.r, n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("receive message: %w", err)
	}
	return b.Bytes(), nil
}

// SendValue sends a value as a message of JSON.
func (c *Conn) SendValue(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return c.Send(text)
}

// RecvValue reads a message of JSON into a value.
func (c *Conn) RecvValue(v any) error {
	text, err := c.Recv()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("receive message: %w", err)
	}
	return nil
}
