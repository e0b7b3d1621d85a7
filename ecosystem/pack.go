package ecosystem

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
)

const packFrom = 16 << 10 // bytes of a text that is packed

// pack makes an answer small in memory. Nobody else uses it yet.
func (a *answer) pack() {
	if len(a.Text) < packFrom {
		return
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return
	}
	if _, err := io.WriteString(z, a.Text); err != nil || z.Close() != nil {
		return
	}
	a.packed, a.Text = bytes.Clone(b.Bytes()), ""
}

// whole returns the answer with its text.
func (a *answer) whole() (*Answer, error) {
	out := a.Answer
	if a.packed == nil {
		return &out, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(a.packed))
	if err != nil {
		return nil, fmt.Errorf("%s: unpack the answer: %w", a.Request, err)
	}
	text, err := io.ReadAll(z) // nuka packed it
	if err != nil {
		return nil, fmt.Errorf("%s: unpack the answer: %w", a.Request, err)
	}
	out.Text = string(text)
	return &out, nil
}
