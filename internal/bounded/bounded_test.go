package bounded

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReader(t *testing.T) {
	over := errors.New("over")
	for _, split := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader} {
		if b, err := io.ReadAll(&Reader{split(strings.NewReader("12345")), 5, over}); err != nil || string(b) != "12345" {
			t.Errorf("as much as is allowed: got %q, %v", b, err)
		}
		if _, err := io.ReadAll(&Reader{split(strings.NewReader("123456")), 5, over}); !errors.Is(err, over) {
			t.Errorf("a byte more: got %v", err)
		}
	}
}
