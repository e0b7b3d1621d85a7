package git

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// The packets without content (gitprotocol-common(5), gitprotocol-v2(5)).
const (
	flushPkt = iota
	delimPkt
	responseEndPkt
	dataPkt
)

// maxPkt bounds the bytes of a packet, including its length.
const maxPkt = 65520

// A pktReader reads pkt-lines and bounds their bytes.
type pktReader struct {
	r    *bufio.Reader
	left int64 // bytes that may still arrive; more is errTooLong
	buf  [maxPkt]byte
}

var errTooLong = errors.New("the answer is longer than the limit")

func newPktReader(r io.Reader, limit int64) *pktReader {
	return &pktReader{r: bufio.NewReaderSize(r, 64<<10), left: limit}
}

// next returns the kind of the next packet and its content, which is valid until the next call.
// If the stream ends between packets, next returns io.EOF; if it ends within one, io.ErrUnexpectedEOF.
// For an ERR packet it returns a *ServerError.
func (p *pktReader) next() (kind int, content []byte, err error) {
	head := p.buf[:4]
	if _, err := io.ReadFull(p.r, head); err != nil {
		return 0, nil, err
	}
	n, err := strconv.ParseUint(string(head), 16, 16)
	if err != nil {
		return 0, nil, fmt.Errorf("%q is not the length of a packet", head)
	}
	if p.left -= max(int64(n), 4); p.left < 0 {
		return 0, nil, errTooLong
	}
	switch {
	case n < 3:
		return int(n), nil, nil
	case n == 3 || n > maxPkt:
		return 0, nil, fmt.Errorf("a packet of length %d", n)
	}
	content = p.buf[:n-4]
	if _, err := io.ReadFull(p.r, content); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	if len(content) > 4 && string(content[:4]) == "ERR " {
		return 0, nil, serverError(content[4:])
	}
	return dataPkt, content, nil
}

// line returns the next packet as a line without its end if it has data; otherwise isData is false and kind tells which packet it is.
func (p *pktReader) line() (text string, isData bool, kind int, err error) {
	kind, content, err := p.next()
	if err != nil || kind != dataPkt {
		return "", false, kind, err
	}
	if n := len(content); n > 0 && content[n-1] == '\n' {
		content = content[:n-1]
	}
	return string(content), true, kind, nil
}

// appendPkt appends text as a packet.
func appendPkt(b []byte, text string) []byte {
	return fmt.Appendf(b, "%04x%s", len(text)+4, text)
}

// The bands of a pack's packets.
const (
	bandPack     = 1
	bandProgress = 2
	bandError    = 3
)

// copyPack writes the pack from sideband packets, up to the flush packet that ends it.
func (p *pktReader) copyPack(to io.Writer) error {
	for {
		kind, content, err := p.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if kind != dataPkt {
			if kind == flushPkt {
				return nil
			}
			return fmt.Errorf("a packet of kind %d within the pack", kind)
		}
		if len(content) == 0 {
			return errors.New("an empty packet within the pack")
		}
		switch content[0] {
		case bandPack:
			if _, err := to.Write(content[1:]); err != nil {
				return &writeError{err}
			}
		case bandProgress:
		case bandError:
			return serverError(content[1:])
		default:
			return fmt.Errorf("a packet of band %d within the pack", content[0])
		}
	}
}

// A writeError is an error of this machine, not of the server.
type writeError struct{ err error }

func (w *writeError) Error() string { return w.err.Error() }
func (w *writeError) Unwrap() error { return w.err }

// A ServerError is a server's message about a request that it refuses.
type ServerError struct{ Text string }

func (s *ServerError) Error() string { return "the server says: " + s.Text }

const maxServerText = 500

func serverError(text []byte) error {
	return &ServerError{fmt.Sprintf("%q", text[:min(len(text), maxServerText)])}
}
