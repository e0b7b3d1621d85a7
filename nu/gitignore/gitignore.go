package gitignore

import (
	"bytes"
	"path"
	"strings"
)

// Max is how many bytes of patterns one file may have.
const Max = 1 << 20

// A Verdict is what patterns say of a name.
type Verdict int

// The verdicts.
const (
	Undecided Verdict = iota // no pattern matches
	Ignored
	Kept // by a pattern that begins with !
)

// A Patterns is the patterns of one file, in their order. The zero Patterns match nothing.
type Patterns []pattern

// A pattern is one line.
type pattern struct {
	kept     bool // it begins with !
	anywhere bool // it has no slash: it matches names in all folders below
	folders  bool // it ended in a slash: it matches folders only
	text     glob
}

// Parse reads a file of patterns. Every text is one.
func Parse(text []byte) Patterns {
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	var all Patterns
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		line = bytes.TrimSuffix(line, []byte("\r"))
		line, _, _ = bytes.Cut(line, []byte{0})
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if p, ok := parseLine(trimSpaces(string(line))); ok {
			all = append(all, p)
		}
	}
	return all
}

// trimSpaces drops the spaces at the end, but for one behind a backslash.
func trimSpaces(line string) string {
	end := 0
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
		} else if line[i] == ' ' {
			continue
		}
		end = min(i+1, len(line))
	}
	return line[:end]
}

// parseLine reads a pattern. One that nothing matches is false.
func parseLine(line string) (p pattern, ok bool) {
	line, p.kept = strings.CutPrefix(line, "!")
	line, p.folders = strings.CutSuffix(line, "/")
	p.anywhere = !strings.Contains(line, "/")
	p.text, ok = parseGlob(strings.TrimPrefix(line, "/"))
	return p, ok && len(p.text) > 0
}

// Match says what the patterns of a file say of a name, which is relative to the file's folder, slash-separated and clean.
// The last pattern that matches decides. Whether a folder above the name is ignored is for the caller to ask first:
// what lies in it is not kept by any pattern.
func (all Patterns) Match(name string, isDir bool) Verdict {
	for i := len(all) - 1; i >= 0; i-- {
		p := &all[i]
		if p.folders && !isDir {
			continue
		}
		text := name
		if p.anywhere {
			text = path.Base(name)
		}
		if !p.text.match(text) {
			continue
		}
		if p.kept {
			return Kept
		}
		return Ignored
	}
	return Undecided
}
