package gitignore

import "strings"

// A glob is the parts of a pattern.
type glob []part

// A part matches some bytes of a name.
type part struct {
	kind kind
	char byte
	set  *[256]bool
}

type kind byte

const (
	char     kind = iota // that byte
	question             // ?: one byte other than a slash
	oneOf                // […]: one byte of a set
	star                 // *: bytes without a slash
	rest                 // ** at the end: any bytes
	folders              // **/: any number of folders, each with its slash
)

// parseGlob parses a pattern as git does (gitignore(5), "Pattern format"). It returns false for one that matches nothing.
func parseGlob(text string) (g glob, ok bool) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\\':
			if i++; i == len(text) {
				return nil, false
			}
			g = append(g, part{kind: char, char: text[i]})
		case '?':
			g = append(g, part{kind: question})
		case '[':
			set, n, ok := parseSet(text[i:])
			if !ok {
				return nil, false
			}
			g = append(g, part{kind: oneOf, set: set})
			i += n - 1
		case '*':
			n := len(text[i:]) - len(strings.TrimLeft(text[i:], "*"))
			before, after := text[:i], text[i+n:]
			i += n - 1
			switch {
			case n == 1, before != "" && before[len(before)-1] != '/':
				g = append(g, part{kind: star})
			case after == "", strings.HasPrefix(after, `\/`):
				g = append(g, part{kind: rest})
			case after[0] == '/':
				i++
				if len(g) == 0 || g[len(g)-1].kind != folders {
					g = append(g, part{kind: folders})
				}
			default:
				g = append(g, part{kind: star})
			}
		default:
			g = append(g, part{kind: char, char: c})
		}
	}
	return g, true
}

// classes maps the names of character classes to sets of ASCII characters.
var classes = map[string]func(c byte) bool{
	"alnum":  func(c byte) bool { return isAlpha(c) || isDigit(c) },
	"alpha":  isAlpha,
	"blank":  func(c byte) bool { return c == ' ' || c == '\t' },
	"cntrl":  func(c byte) bool { return c < ' ' || c == 0x7f },
	"digit":  isDigit,
	"graph":  isGraph,
	"lower":  isLower,
	"print":  func(c byte) bool { return c == ' ' || isGraph(c) },
	"punct":  func(c byte) bool { return isGraph(c) && !isAlpha(c) && !isDigit(c) },
	"space":  func(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' },
	"upper":  isUpper,
	"xdigit": func(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' },
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }
func isAlpha(c byte) bool { return isLower(c) || isUpper(c) }
func isGraph(c byte) bool { return ' ' < c && c < 0x7f }

// parseSet parses a set at the start of text and returns its length. It returns false if the set has no end.
func parseSet(text string) (set *[256]bool, n int, ok bool) {
	set = &[256]bool{}
	at := func(i int) byte { // patterns have no zero bytes
		if i < len(text) {
			return text[i]
		}
		return 0
	}
	i := 1
	negated := at(i) == '!' || at(i) == '^'
	if negated {
		i++
	}
	last := byte(0) // the possible start of a range
	for first := true; first || at(i) != ']'; first = false {
		c := at(i)
		switch {
		case c == 0:
			return nil, 0, false
		case c == '\\':
			if i++; at(i) == 0 {
				return nil, 0, false
			}
			last = at(i)
			set[last] = true
		case c == '-' && last != 0 && at(i+1) != 0 && at(i+1) != ']':
			if i++; at(i) == '\\' {
				i++
			}
			if at(i) == 0 {
				return nil, 0, false
			}
			for b := int(last); b <= int(at(i)); b++ {
				set[b] = true
			}
			last = 0
		case c == '[' && at(i+1) == ':':
			end := strings.IndexByte(text[i+2:], ']')
			if end < 0 {
				return nil, 0, false
			}
			name, named := strings.CutSuffix(text[i+2:i+2+end], ":")
			if !named { // not a class, so the bracket is an ordinary character
				set['['], last = true, '['
				break
			}
			class, known := classes[name]
			if !known {
				return nil, 0, false
			}
			for b := range set {
				set[b] = set[b] || class(byte(b))
			}
			i, last = i+2+end, 0
		default:
			set[c], last = true, c
		}
		i++
	}
	if negated {
		for b := range set {
			set[b] = !set[b]
		}
	}
	set['/'] = false
	return set, i + 1, true
}

// match reports whether g matches all of text. Its time is proportional to the product of their lengths at worst.
func (g glob) match(text string) bool {
	if len(g) == 0 || text == "" || g.least() > len(text) {
		return len(g) == 0 && text == ""
	}
	// A quick check rejects most names.
	if first, last := g[0], g[len(g)-1]; first.kind == char && first.char != text[0] || last.kind == char && last.char != text[len(text)-1] {
		return false
	}
	// now holds the parts that may match next.
	now, next := make([]bool, len(g)+1), make([]bool, len(g)+1)
	g.enter(now, 0)
	for i := range len(text) {
		clear(next)
		c := text[i]
		for at, p := range g {
			if !now[at] {
				continue
			}
			switch p.kind {
			case char:
				if c == p.char {
					g.enter(next, at+1)
				}
			case question:
				if c != '/' {
					g.enter(next, at+1)
				}
			case oneOf:
				if p.set[c] {
					g.enter(next, at+1)
				}
			case star:
				if c != '/' {
					g.enter(next, at)
				}
			case rest:
				g.enter(next, at)
			case folders: // the following parts match only after a slash
				next[at] = true
				if c == '/' {
					g.enter(next, at+1)
				}
			}
		}
		now, next = next, now
	}
	return now[len(g)]
}

// enter adds the part at to the parts that may match next, and the parts after it if it can match nothing.
func (g glob) enter(set []bool, at int) {
	for set[at] = true; at < len(g) && (g[at].kind == star || g[at].kind == rest || g[at].kind == folders); set[at] = true {
		at++
	}
}

// least returns the minimum number of bytes that g matches.
func (g glob) least() int {
	n := 0
	for _, p := range g {
		if p.kind == char || p.kind == question || p.kind == oneOf {
			n++
		}
	}
	return n
}
