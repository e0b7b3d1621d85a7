package nuon

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Parse reads NUON as people write it: with white space, comments from # to the end of a line, items divided by commas or
// lines, words without quotes, quotes of either kind, durations from ns to day and file sizes from b to PiB.
// Use it for configuration and never for bytes that are hashed: those need Decode. Both read a canonical text as the same value.
// Errors begin with line and column, counted from 1, in characters.
func Parse(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("1:1: not UTF-8")
	}
	p := &parser{text: string(text)}
	v, err := p.value(0)
	if err == nil {
		if p.skip(true); p.pos < len(p.text) {
			err = errors.New("something follows the value")
		}
	}
	if err != nil {
		before := p.text[:min(p.pos, len(p.text))]
		line := strings.Count(before, "\n") + 1
		col := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
		return nil, fmt.Errorf("%d:%d: %w", line, col, err)
	}
	return v, nil
}

type parser struct {
	text string
	pos  int
}

// skip skips white space and comments, and between items also commas.
func (p *parser) skip(commas bool) {
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || commas && c == ',':
			p.pos++
		case c == '#':
			end := strings.IndexByte(p.text[p.pos:], '\n')
			if end < 0 {
				end = len(p.text) - p.pos
			}
			p.pos += end
		default:
			return
		}
	}
}

func (p *parser) value(depth int) (any, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("nested deeper than %d", MaxDepth)
	}
	p.skip(false)
	if p.pos >= len(p.text) {
		return nil, errors.New("a value is missing")
	}
	switch p.text[p.pos] {
	case '{':
		return p.record(depth)
	case '[':
		return p.list(depth)
	}
	quoted := strings.IndexByte("\"'`", p.text[p.pos]) >= 0
	if strings.HasPrefix(p.text[p.pos:], "0x[") {
		end := strings.IndexByte(p.text[p.pos:], ']')
		if end < 0 {
			return nil, errors.New("the ] of a binary value is missing")
		}
		d := &decoder{text: []byte(strings.ToUpper(strings.Join(strings.Fields(p.text[p.pos+3:p.pos+end]), "")) + "]")}
		v, err := d.binary()
		if err == nil {
			p.pos += end + 1
		}
		return v, err
	}
	start := p.pos
	word, err := p.word()
	if err != nil || quoted {
		return word, err
	}
	v, err := plain(word)
	if err != nil {
		p.pos = start
	}
	return v, err
}

// word reads a string with or without quotes.
func (p *parser) word() (string, error) {
	switch quote := p.text[p.pos]; quote {
	case '\'', '`':
		end := strings.IndexByte(p.text[p.pos+1:], quote)
		if end < 0 {
			return "", errors.New("the other quote is missing")
		}
		s := p.text[p.pos+1 : p.pos+1+end]
		p.pos += end + 2
		return s, nil
	case '"':
		var b strings.Builder
		for i := p.pos + 1; i < len(p.text); i++ {
			switch c := p.text[i]; c {
			case '"':
				p.pos = i + 1
				return b.String(), nil
			case '\\':
				if i++; i >= len(p.text) {
					continue
				}
				at := strings.IndexByte(`"\/'nrt`, p.text[i])
				if at < 0 {
					p.pos = i
					return "", fmt.Errorf(`\%c is not understood`, p.text[i])
				}
				b.WriteByte("\"\\/'\n\r\t"[at])
			default:
				b.WriteByte(c)
			}
		}
		return "", errors.New("the other quote is missing")
	}
	end := strings.IndexAny(p.text[p.pos:], " \t\r\n,:{}[]#\"'`")
	if end < 0 {
		end = len(p.text) - p.pos
	}
	if end == 0 {
		return "", fmt.Errorf("%q is not expected here", p.text[p.pos])
	}
	word := p.text[p.pos : p.pos+end]
	p.pos += end
	return word, nil
}

var units = map[string]int64{
	"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "sec": 1e9, "min": 60e9, "hr": 3600e9, "day": 86400e9,
	"b": -1, "kb": -1e3, "mb": -1e6, "gb": -1e9, "tb": -1e12,
	"kib": -(1 << 10), "mib": -(1 << 20), "gib": -(1 << 30), "tib": -(1 << 40), "pib": -(1 << 50),
}

// plain returns the value of a word without quotes.
func plain(word string) (any, error) {
	switch word {
	case "null":
		return nil, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	digits := strings.TrimLeft(word, "+-")
	if digits == "" || digits[0] < '0' || digits[0] > '9' {
		return word, nil
	}
	if n, err := strconv.ParseInt(strings.ReplaceAll(word, "_", ""), 10, 64); err == nil {
		return n, nil
	}
	at := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
	if at > 0 {
		if factor, ok := units[strings.ToLower(digits[at:])]; ok {
			n, err := strconv.ParseInt(word[:len(word)-len(digits)+at], 10, 64)
			size := max(factor, -factor)
			if err != nil || n > maxUnit/size || n < -maxUnit/size {
				return nil, fmt.Errorf("%s is too large", word)
			}
			if factor > 0 {
				return Duration(n * size), nil
			}
			return Filesize(n * size), nil
		}
	}
	return nil, fmt.Errorf("%s is neither a whole number nor one with a unit; quote it if it is text", word)
}

func (p *parser) list(depth int) (any, error) {
	list := List{}
	for p.pos++; ; {
		p.skip(true)
		if p.pos >= len(p.text) {
			return nil, errors.New("a ] is missing")
		}
		if p.text[p.pos] == ']' {
			p.pos++
			return list, nil
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
}

func (p *parser) record(depth int) (any, error) {
	rec := Record{}
	for p.pos++; ; {
		p.skip(true)
		if p.pos >= len(p.text) {
			return nil, errors.New("a } is missing")
		}
		if p.text[p.pos] == '}' {
			p.pos++
			return rec, nil
		}
		start := p.pos
		name, err := p.word()
		if err != nil {
			return nil, err
		}
		p.skip(false)
		if p.pos >= len(p.text) || p.text[p.pos] != ':' {
			return nil, fmt.Errorf("a : is missing behind %s", name)
		}
		p.pos++
		if _, twice := rec[name]; twice {
			p.pos = start
			return nil, fmt.Errorf("%s is there twice", name)
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		rec[name] = v
	}
}
