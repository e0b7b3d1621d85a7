// Package bounded has a reader that fails when there is more to read than it may pass on. io.LimitReader ends there instead, as if it were all.
package bounded

import "io"

// A Reader reads from R, and fails with Over once more than Left bytes have come.
type Reader struct {
	R    io.Reader
	Left int64
	Over error
}

// Read implements io.Reader. It passes on nothing of a read that goes beyond the bound.
func (b *Reader) Read(p []byte) (int, error) {
	n, err := b.R.Read(p)
	if b.Left -= int64(n); b.Left < 0 {
		return 0, b.Over
	}
	return n, err
}
