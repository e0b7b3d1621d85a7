package set

import (
	"bytes"
	"fmt"

	"github.com/MordragT/nuka/pir/nuon"
)

// EncodeEntries returns entries as text, a NUON record in each line, without PIDs and files: the form of the embedded set's index, which people review.
func EncodeEntries(entries []Entry) ([]byte, error) {
	var out []byte
	for _, e := range entries {
		rec := nuon.Record{"path": e.Path, "name": e.Name, "version": e.Version, "description": e.Description, "license": e.License}
		if !e.Guessed {
			commands := make(nuon.List, len(e.Commands))
			for i, c := range e.Commands {
				commands[i] = c
			}
			rec["commands"] = commands
		}
		b, err := nuon.Encode(rec)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Path, err)
		}
		out = append(append(out, b...), '\n')
	}
	return out, nil
}

// DecodeEntries reads the text of EncodeEntries.
func DecodeEntries(text []byte) ([]Entry, error) {
	var out []Entry
	for line := range bytes.Lines(text) {
		rec, err := nuon.DecodeRecord(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil {
			return nil, fmt.Errorf("entries of a set: %w", err)
		}
		field := func(name string) string { s, _ := rec[name].(string); return s }
		e := Entry{Path: field("path"), Name: field("name"), Version: field("version"), Description: field("description"), License: field("license")}
		commands, known := rec["commands"].(nuon.List)
		e.Guessed = !known
		for _, c := range commands {
			if s, ok := c.(string); ok {
				e.Commands = append(e.Commands, s)
			}
		}
		out = append(out, e)
	}
	return out, nil
}
