package claims

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// Whatever a peer answers, lines stay within their bounds and hold no line feed.
func FuzzLines(f *testing.F) {
	z, err := wire.NewCodec()
	if err != nil {
		f.Fatal(err)
	}
	text := bytes.Repeat([]byte("a line of text\n"), 20)
	for _, compressed := range []bool{false, true} {
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		e, out := protocol.Plain, text
		if compressed {
			e, out, _ = z.Compress(text, nil)
		}
		if err := protocol.WriteAnswer(w, e, out); err != nil {
			f.Fatal(err)
		}
		protocol.WriteAnswer(w, protocol.End, nil)
		w.Flush()
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, size := 0, 0
		_, err := readLines(z, bufio.NewReader(bytes.NewReader(b)), nil, 30, 1000, func(line []byte) error {
			n, size = n+1, size+len(line)+1
			if bytes.IndexByte(line, '\n') >= 0 {
				t.Errorf("a line with a line feed: %q", line)
			}
			_, _ = signedBy(line)
			return nil
		})
		if n > 30 || size > 1000 {
			t.Errorf("%d lines of %d bytes, %v", n, size, err)
		}
	})
}

// Whatever a peer answers, what is taken are PIRs that were asked for.
func FuzzPIRs(f *testing.F) {
	z, err := wire.NewCodec()
	if err != nil {
		f.Fatal(err)
	}
	var ids []pir.PID
	pirs := map[pir.PID][]byte{}
	for _, size := range []int{10, 500} {
		b, err := (&pir.PIR{Kind: pir.Data, Name: "a", Data: strings.Repeat("x", size)}).Encode()
		if err != nil {
			f.Fatal(err)
		}
		ids = append(ids, pir.Sum(b))
		pirs[pir.Sum(b)] = b
	}
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	for _, id := range ids {
		protocol.WriteAnswer(w, protocol.Plain, pirs[id])
	}
	w.Flush()
	f.Add(b.Bytes())
	b.Reset()
	_, frame, _ := z.Compress([]byte(strings.Repeat("x", 500)), nil)
	_, second, _ := z.Compress(pirs[ids[1]], nil)
	protocol.WriteAnswer(w, protocol.Missing, nil)
	protocol.WriteAnswer(w, protocol.Zstd, second)
	protocol.WriteAnswer(w, protocol.Zstd, frame)
	w.Flush()
	f.Add(b.Bytes())
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		_, _ = readPIRs(z, bufio.NewReader(bytes.NewReader(b)), ids, func(id pir.PID, b []byte) {
			if n++; pir.Sum(b) != id {
				t.Errorf("%q is no PIR of %s", b, id)
			}
		})
		if n > len(ids) {
			t.Errorf("%d PIRs for %d", n, len(ids))
		}
	})
}
