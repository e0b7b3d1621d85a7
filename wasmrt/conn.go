package wasmrt

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/MordragT/nuka/internal/frame"
)

// maxFrame is how long one message between a process and its worker may be.
const maxFrame = 64 << 20

// firstMemory is how much memory a message takes before its bytes arrive: enough for a block, which is then not copied.
const firstMemory = 2 << 20

// A Conn carries messages, as package frame writes them, between a process and its worker. Send may be used by many goroutines, Recv by one.
type Conn struct {
	r  io.Reader
	w  io.Writer
	mu sync.Mutex
}

// NewConn returns a Conn over a reader and a writer.
func NewConn(r io.Reader, w io.Writer) *Conn { return &Conn{r: r, w: w} }

// Send writes one message, which is head and body, one behind the other; a large body is not copied.
func (c *Conn) Send(head []byte, body ...byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := frame.Write(c.w, maxFrame, nil, head, body...); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// Recv reads one message; io.EOF says that the other side closed between messages.
func (c *Conn) Recv() ([]byte, error) {
	b, err := frame.Read(c.r, maxFrame, firstMemory)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("receive message: %w", err)
	}
	return b, err
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
