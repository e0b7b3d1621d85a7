package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/MordragT/nuka/internal/frame"
	"github.com/MordragT/nuka/protocol"
)

// The types of frames.
const (
	frameRequest byte = 'q' // JSON request, first on a stream
	frameData    byte = 'd' // bytes, in either direction
	frameEnd     byte = 'z' // end of the caller's bytes
	frameEvent   byte = 'e' // JSON protocol.Event
	frameResult  byte = 'r' // JSON, last on a stream
	frameError   byte = 'x' // JSON protocol.Error, last on a stream
)

const (
	dataSize  = 256 << 10 // bytes of a data frame that this package sends
	dataFrame = 4 << 20   // largest data frame that it accepts
	// firstMemory is how much memory a frame takes before its bytes arrive, because a stranger may announce any length on many streams.
	firstMemory = 4 << 10
)

// request is the payload of a request frame.
type request struct {
	Op   protocol.Op     `json:"op"`
	Args json.RawMessage `json:"args,omitempty"`
}

// frameWriter writes whole frames. It is safe for use by several goroutines.
type frameWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *frameWriter) write(kind byte, payload []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := frame.Write(w.w, protocol.MaxFrame, []byte{kind}, payload)
	var length *frame.LengthError
	if errors.As(err, &length) {
		return protocol.Errorf(protocol.Exhausted, "control: %w", err)
	}
	return err
}

func (w *frameWriter) writeJSON(kind byte, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.write(kind, payload)
}

// dataWriter sends each write as data frames.
type dataWriter struct{ frames *frameWriter }

func (w dataWriter) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		n := min(len(b)-done, dataSize)
		if err := w.frames.write(frameData, b[done:done+n]); err != nil {
			return done, err
		}
		done += n
	}
	return len(b), nil
}

// readFrame reads one frame of up to limit bytes.
func readFrame(r *bufio.Reader, limit int) (kind byte, payload []byte, err error) {
	if kind, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	payload, err = frame.Read(r, limit, firstMemory)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, nil, fmt.Errorf("control: %w", err)
	}
	return kind, payload, nil
}

// dataReader reads the bytes of data frames until the end frame.
type dataReader struct {
	r    *bufio.Reader
	rest []byte
	done bool
}

func (d *dataReader) Read(b []byte) (int, error) {
	for len(d.rest) == 0 {
		if d.done {
			return 0, io.EOF
		}
		kind, payload, err := readFrame(d.r, dataFrame)
		switch {
		case err == io.EOF:
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case kind == frameEnd:
			d.done = true
		case kind == frameData:
			d.rest = payload
		default:
			return 0, fmt.Errorf("control: frame %q where data was expected", kind)
		}
	}
	n := copy(b, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}
