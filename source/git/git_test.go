package git

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestPktLine(t *testing.T) {
	in := newPktReader(strings.NewReader("0006a\n0005b00000001000200040003"), 1<<10)
	for i, want := range []struct {
		kind int
		text string
	}{{dataPkt, "a"}, {dataPkt, "b"}, {flushPkt, ""}, {delimPkt, ""}, {responseEndPkt, ""}, {dataPkt, ""}} {
		text, isData, kind, err := in.line()
		if err != nil || isData != (want.kind == dataPkt) || !isData && kind != want.kind || text != want.text {
			t.Errorf("packet %d: got %q of kind %d, %v; want %q of kind %d", i, text, kind, err, want.text, want.kind)
		}
	}
	for _, bad := range []string{"0003", "fff1" + strings.Repeat("x", 0xfff1), "zzzz", "+005b", "0009abc", "00"} {
		if _, _, err := newPktReader(strings.NewReader(bad), 1<<20).next(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%.10q: got %v, want an error", bad, err)
		}
	}
	if _, _, err := newPktReader(strings.NewReader("0009abcde"), 8).next(); !errors.Is(err, ErrTooLong) {
		t.Errorf("beyond the limit: got %v", err)
	}
}

func FuzzPktLine(f *testing.F) {
	f.Add([]byte("0006a\n0005b000000010002"))
	f.Add([]byte("0008ERR no"))
	f.Add([]byte("000e# service=\n0000000fversion 2\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		// Writing again what was read gives the same bytes.
		in, read, out := newPktReader(bytes.NewReader(b), 1<<20), 0, []byte(nil)
		for {
			kind, content, err := in.next()
			if err != nil {
				break
			}
			if kind == dataPkt {
				out = appendPkt(out, string(content))
				read += len(content)
			} else {
				out = append(out, "000"...)
				out = append(out, byte('0'+kind))
			}
			read += 4
		}
		if !bytes.Equal(bytes.ToLower(out), bytes.ToLower(b[:read])) && len(out) > 0 {
			t.Errorf("%q reads as %q", b, out)
		}
		s := &server{capabilities: map[string]string{}}
		if err := s.readAdvertisement(newPktReader(bytes.NewReader(b), 1<<20)); err == nil {
			for _, r := range s.refs {
				if !isID(r.id) {
					t.Errorf("a ref with the id %q", r.id)
				}
			}
		}
		var pack bytes.Buffer
		if newPktReader(bytes.NewReader(b), 1<<10).copyPack(&pack) == nil && pack.Len() > len(b) {
			t.Errorf("%d bytes of a pack in %d", pack.Len(), len(b))
		}
	})
}
