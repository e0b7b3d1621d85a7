package protocol

import (
	"bufio"
	"bytes"
	"io"
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
