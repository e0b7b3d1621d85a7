package gitignore

import (
	"bytes"
	"path"
	"strings"
)

// Max bounds the bytes of one pattern file.
const Max = 1 << 20

// A Verdict is the result of matching a name with patterns.
type Verdict int

// The verdicts.
const (
	Undecided Verdict = iota // no pattern matches
	Ignored
	Kept // a pattern that begins with ! matches
)

// A Patterns is the patterns of one file, in their order. The zero Patterns matches nothing.
type Patterns []pattern

// A pattern is one line.
type pattern struct {
	kept     bool // it begins with !
	anywhere bool // it has no slash and matches names in all folders below
	folders  bool // it ended in a slash and matches folders only
	text     glob
}

// Parse reads a pattern file. Every text is valid.
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

// trimSpaces drops the spaces at the end, except one after a backslash.
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

// parseLine reads a pattern. It returns false for one that matches nothing.
func parseLine(line string) (p pattern, ok bool) {
	line, p.kept = strings.CutPrefix(line, "!")
	line, p.folders = strings.CutSuffix(line, "/")
	p.anywhere = !strings.Contains(line, "/")
	p.text, ok = parseGlob(strings.TrimPrefix(line, "/"))
	return p, ok && len(p.text) > 0
}

// Match matches the patterns of a file with a name, which is relative to the file's folder, slash-separated and clean.
// The last pattern that matches decides. The caller must first check the folders above the name:
// no pattern keeps a name in an ignored folder.
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
