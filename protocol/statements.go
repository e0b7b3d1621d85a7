package protocol

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
)

// EncodeStatements writes the list that a head's Root identifies: the canonical bytes of attestations, one on each line,
// sorted by PID, then by signer, then by their bytes, each once.
func EncodeStatements(w io.Writer, statements []Attestation) error {
	lines := make([]struct {
		key  []byte
		text []byte
	}, len(statements))
	for i := range statements {
		text, err := statements[i].Encode()
		if err != nil {
			return err
		}
		lines[i].key = slices.Concat(statements[i].PID[:], statements[i].Signer[:])
		lines[i].text = text
	}
	slices.SortFunc(lines, func(a, b struct{ key, text []byte }) int {
		if c := bytes.Compare(a.key, b.key); c != 0 {
			return c
		}
		return bytes.Compare(a.text, b.text)
	})
	b := bufio.NewWriter(w)
	for i, l := range lines {
		if i > 0 && bytes.Equal(l.text, lines[i-1].text) {
			continue
		}
		b.Write(l.text)
		b.WriteByte('\n')
	}
	return b.Flush()
}

// DecodeStatements reads such a list; each attestation is verified. It ends at the first error.
func DecodeStatements(r io.Reader) iter.Seq2[*Attestation, error] {
	return func(yield func(*Attestation, error) bool) {
		b := bufio.NewReaderSize(r, 64<<10)
		for n := 1; ; n++ {
			line, err := readLine(b)
			if err == io.EOF {
				return
			}
			var a *Attestation
			if err == nil {
				a, err = DecodeAttestation(line)
			}
			if err != nil {
				yield(nil, fmt.Errorf("list of statements, line %d: %w", n, err))
				return
			}
			if !yield(a, nil) {
				return
			}
		}
	}
}

// readLine reads a line of at most maxAttestation bytes, without its end. It is the caller's.
func readLine(b *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := b.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxAttestation+1:
			return nil, fmt.Errorf("longer than %d bytes", maxAttestation)
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case err == io.EOF && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}
