package nu

import (
	"io/fs"
	"strings"
	"unicode/utf8"
)

// A Param is a flag or an argument of a package, as written in its file.
type Param struct {
	Text string // such as `--level (-l): int = 1`
	Doc  string // the comment after it
}

// Params reads the parameters of a package's main, and the comment above it, from the text of the file, without evaluating it.
// Without a main, params is nil.
func Params(fsys fs.FS, name string) (doc string, params []Param, err error) {
	text, err := readSource(fsys, name)
	if err != nil {
		return "", nil, err
	}
	s := scanner{text: string(text)}
	var comment []string
	for depth := 0; !s.end(); {
		token := s.next()
		switch {
		case strings.HasPrefix(token, "#"):
			comment = append(comment, strings.TrimSpace(strings.TrimLeft(token, "#!")))
			continue
		case token == "\n":
			if s.blank() {
				comment = nil
			}
			continue
		case strings.TrimSpace(token) == "":
			continue
		case strings.ContainsAny(token, "[{(") && len(token) == 1:
			depth++
		case strings.ContainsAny(token, "]})") && len(token) == 1:
			depth--
		case depth == 0 && token == "export":
			if s.words("def", "main", "[") {
				return strings.Join(comment, "\n"), s.params(), nil
			}
		}
		comment = nil
	}
	return "", nil, nil
}

// A scanner splits Nushell into words, strings, brackets, comments and white space.
type scanner struct {
	text string
	at   int
}

func (s *scanner) end() bool { return s.at >= len(s.text) }

// blank reports whether the line that begins here is empty.
func (s *scanner) blank() bool {
	line, _, _ := strings.Cut(s.text[s.at:], "\n")
	return strings.TrimSpace(line) == ""
}

// next returns the next token. A comment up to the end of its line is a token, and so is the end of a line.
func (s *scanner) next() string {
	begin, c := s.at, s.text[s.at]
	switch {
	case c == '#':
		for !s.end() && s.text[s.at] != '\n' {
			s.at++
		}
	case c == '\n' || strings.IndexByte("[]{}()<>,:=", c) >= 0:
		s.at++
	case c == ' ' || c == '\t' || c == '\r':
		for !s.end() && strings.IndexByte(" \t\r", s.text[s.at]) >= 0 {
			s.at++
		}
	case c == '"' || c == '\'' || c == '`':
		s.quoted(c)
	case c == '$' && s.at+1 < len(s.text) && (s.text[s.at+1] == '"' || s.text[s.at+1] == '\''):
		s.at++
		s.quoted(s.text[s.at])
	case c == 'r' && strings.HasPrefix(strings.TrimLeft(s.text[s.at+1:], "#"), "'") && strings.HasPrefix(s.text[s.at+1:], "#"):
		s.raw()
	default:
		for !s.end() && strings.IndexByte(" \t\r\n[]{}()<>,:=\"'`", s.text[s.at]) < 0 {
			_, n := utf8.DecodeRuneInString(s.text[s.at:])
			s.at += n
		}
	}
	return s.text[begin:s.at]
}

func (s *scanner) quoted(quote byte) {
	for s.at++; !s.end(); s.at++ {
		switch c := s.text[s.at]; {
		case c == '\\' && quote == '"':
			s.at++
		case c == quote:
			s.at++
			return
		}
	}
	s.at = min(s.at, len(s.text))
}

// raw skips r#'…'#, which ends with as many # signs as it begins with.
func (s *scanner) raw() {
	rest := s.text[s.at+1:]
	signs := len(rest) - len(strings.TrimLeft(rest, "#"))
	end := "'" + rest[:signs]
	if i := strings.Index(rest[signs+1:], end); i >= 0 {
		s.at += 1 + signs + 1 + i + len(end)
		return
	}
	s.at = len(s.text)
}

// words skips white space and the given tokens in that order, or nothing if they do not follow.
func (s *scanner) words(want ...string) bool {
	begin := s.at
	for _, w := range want {
		token := " "
		for !s.end() && strings.TrimSpace(token) == "" {
			token = s.next()
		}
		if token != w {
			s.at = begin
			return false
		}
	}
	return true
}

// params reads a signature after its opening bracket.
func (s *scanner) params() []Param {
	list := []Param{}
	text := ""
	end := func() {
		if text = strings.TrimSpace(text); text != "" {
			list = append(list, Param{Text: text})
		}
		text = ""
	}
	types := 0 // the number of open list<…> and record<…>
	for depth := 1; !s.end(); {
		token := s.next()
		switch {
		case depth == 1 && token == "<":
			types++
		case depth == 1 && token == ">" && types > 0:
			types--
		case strings.HasPrefix(token, "#"):
			if end(); len(list) > 0 {
				last := &list[len(list)-1]
				last.Doc = strings.TrimSpace(last.Doc + " " + strings.TrimSpace(strings.TrimLeft(token, "#")))
			}
			continue
		case depth == 1 && types == 0 && (token == "," || token == "\n"):
			end()
			continue
		case depth == 1 && types == 0 && strings.TrimSpace(token) == "" && s.startsParam(text):
			end()
			continue
		case len(token) == 1 && strings.ContainsAny(token, "[{("):
			depth++
		case len(token) == 1 && strings.ContainsAny(token, "]})"):
			if depth--; depth == 0 {
				end()
				return list
			}
		}
		text += token
	}
	return list
}

// startsParam reports whether the text after white space starts another parameter or continues the current one.
func (s *scanner) startsParam(before string) bool {
	rest := strings.TrimLeft(s.text[s.at:], " \t\r")
	before = strings.TrimSpace(before)
	return before != "" && rest != "" && strings.IndexByte(":=(#\n,]", rest[0]) < 0 && !strings.HasSuffix(before, ":") && !strings.HasSuffix(before, "=")
}
