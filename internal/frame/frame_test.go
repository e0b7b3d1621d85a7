package frame

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"
)

const first = 1 << 10

func TestFrame(t *testing.T) {
	for _, body := range [][]byte{nil, []byte("body"), make([]byte, smallBody), make([]byte, smallBody+1), bytes.Repeat([]byte("large"), 1<<20)} {
		var wire bytes.Buffer
		if err := Write(&wire, 64<<20, []byte("p"), []byte("head"), body...); err != nil {
			t.Fatal(err)
		}
		want := append([]byte("head"), body...)
		prefix := wire.Next(1)
		got, err := Read(iotest.OneByteReader(bytes.NewReader(wire.Bytes())), len(want), first)
		if err != nil || string(prefix) != "p" || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %d, %v behind %q", len(want), len(got), err, prefix)
		}
		var length *LengthError
		if _, err := Read(bytes.NewReader(wire.Bytes()), len(want)-1, first); !errors.As(err, &length) || length.Length != int64(len(want)) {
			t.Errorf("%d bytes with a smaller limit: %v", len(want), err)
		}
		if err := Write(io.Discard, len(want)-1, nil, []byte("head"), body...); !errors.As(err, &length) {
			t.Errorf("%d bytes with a smaller limit: %v", len(want), err)
		}
		for _, cut := range []int{1, headSize, len(want) - 1 + headSize} {
			if _, err := Read(bytes.NewReader(wire.Bytes()[:cut]), 64<<20, first); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d of %d bytes: got %v", cut, len(want), err)
			}
		}
	}
	if _, err := Read(bytes.NewReader(nil), 1, first); !errors.Is(err, io.EOF) {
		t.Errorf("no message: got %v, want EOF", err)
	}
}

// TestEncoding compares the encoding with frozen bytes.
func TestEncoding(t *testing.T) {
	var wire bytes.Buffer
	if err := Write(&wire, 10, []byte{'q'}, []byte("ab"), 'c'); err != nil {
		t.Fatal(err)
	}
	if want := "q\x00\x00\x00\x03abc"; wire.String() != want {
		t.Errorf("got %q, want %q", wire.String(), want)
	}
}

// TestClaim reads short messages that claim to be long: memory must grow with the bytes that arrive, not with the claim.
func TestClaim(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		if _, err := Read(bytes.NewReader([]byte{0x03, 0xff, 0xff, 0xff, 'x'}), 64<<20, first); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if took := (after.TotalAlloc - before.TotalAlloc) / 100; took > 4*first {
		t.Errorf("a message of one byte took %d bytes", took)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01ab"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Read(bytes.NewReader(b), 1<<20, first)
		if err != nil {
			return
		}
		var wire bytes.Buffer
		if err := Write(&wire, 1<<20, nil, got); err != nil || !bytes.HasPrefix(b, wire.Bytes()) {
			t.Errorf("%q is read as %q", b, got)
		}
	})
}
