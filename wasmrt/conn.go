package wasmrt

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/MordragT/nuka/internal/frame"
)

// maxFrame is the maximum length of one message between a process and its worker.
const maxFrame = 64 << 20

// firstMemory is how much memory Recv allocates before the bytes of a message arrive.
// A block fits into it, and so needs no copy.
const firstMemory = 2 << 20

// A Conn carries messages, framed by package frame, between a process and its worker.
// Many goroutines may call Send at once, but only one may call Recv.
type Conn struct {
	r  io.Reader
	w  io.Writer
	mu sync.Mutex
}

// NewConn returns a Conn over a reader and a writer.
func NewConn(r io.Reader, w io.Writer) *Conn { return &Conn{r: r, w: w} }

// Send writes one message: head followed by body. A large body is not copied.
func (c *Conn) Send(head []byte, body ...byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := frame.Write(c.w, maxFrame, nil, head, body...); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// Recv reads one message. It returns io.EOF if the other side closed the connection between messages.
func (c *Conn) Recv() ([]byte, error) {
	b, err := frame.Read(c.r, maxFrame, firstMemory)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("receive message: %w", err)
	}
	return b, err
}

// SendValue sends a value as a JSON message.
func (c *Conn) SendValue(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return c.Send(text)
}

// RecvValue reads a JSON message into a value.
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
