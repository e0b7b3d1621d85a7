package git

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// A Module is a submodule in a .gitmodules file (gitmodules(5)).
type Module struct {
	Name, Path, URL string
}

// ParseModules reads a .gitmodules file. It ignores all variables of a submodule but the path and the URL.
// It returns an error for names that git could read as a path out of its folder, and for contradictory entries.
func ParseModules(text []byte) ([]Module, error) {
	var modules []Module
	err := parseConfig(string(text), func(name, value string) error {
		rest, ok := strings.CutPrefix(name, "submodule.")
		dot := strings.LastIndexByte(rest, '.')
		if !ok || dot < 0 {
			return nil
		}
		module, key := rest[:dot], rest[dot+1:]
		if leaves(module) {
			return fmt.Errorf("a submodule is called %.200q", module)
		}
		i := slices.IndexFunc(modules, func(m Module) bool { return m.Name == module })
		if i < 0 {
			i = len(modules)
			modules = append(modules, Module{Name: module})
		}
		var field *string
		switch key {
		case "path":
			field = &modules[i].Path
		case "url":
			field = &modules[i].URL
		default:
			return nil
		}
		if *field != "" && *field != value {
			return fmt.Errorf("submodule %.200q has two values of %s", module, key)
		}
		*field = value
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, m := range modules {
		if slices.ContainsFunc(modules[:i], func(o Module) bool { return o.Path == m.Path && m.Path != "" && o.URL != m.URL }) {
			return nil, fmt.Errorf("two submodules have the path %.200q", m.Path)
		}
	}
	return modules, nil
}

// leaves reports whether a submodule's name is empty or leads out of a folder, on any system.
func leaves(name string) bool {
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '/' || r == '\\' })
	return name == "" || slices.Contains(parts, "..")
}

// ResolveURL resolves a URL in a .gitmodules file: one that begins with ./ or ../ is relative to
// the address of the repository with the file. The result stays on that repository's server.
func ResolveURL(repository, relative string) (string, error) {
	if !strings.HasPrefix(relative, "./") && !strings.HasPrefix(relative, "../") {
		return relative, nil
	}
	at, err := url.Parse(repository)
	if err != nil {
		return "", err
	}
	at.RawQuery, at.Fragment = "", ""
	base := strings.TrimSuffix(at.String(), "/")
	least := len(base) - len(strings.TrimSuffix(at.EscapedPath(), "/"))
	rest := relative
	for {
		if after, ok := strings.CutPrefix(rest, "./"); ok {
			rest = after
			continue
		}
		after, ok := strings.CutPrefix(rest, "../")
		if !ok {
			break
		}
		last := strings.LastIndexByte(base, '/')
		if last < least {
			return "", fmt.Errorf("%.200q leads out of the server of %s", relative, repository)
		}
		base, rest = base[:last], after
	}
	return strings.TrimSuffix(base+"/"+rest, "/"), nil
}

// parseConfig reads a git configuration (git-config(1), "Syntax") and calls set for each variable,
// whose name is section.subsection.key. A variable without a value gets "".
func parseConfig(text string, set func(name, value string) error) error {
	text = strings.TrimPrefix(text, "\uFEFF")
	c := &config{text: strings.ReplaceAll(text, "\r\n", "\n"), line: 1}
	section := ""
	for {
		b, ok := c.next()
		switch {
		case !ok:
			return nil
		case isSpace(b):
		case b == '#' || b == ';':
			for ok && b != '\n' {
				b, ok = c.next()
			}
		case b == '[':
			if section, ok = c.section(); !ok {
				return c.wrong()
			}
		case isLetter(b):
			key, value, ok := c.variable(b)
			if !ok {
				return c.wrong()
			}
			if err := set(section+"."+key, value); err != nil {
				return err
			}
		default:
			return c.wrong()
		}
	}
}

// A config is a reader of a git configuration.
type config struct {
	text string
	line int
}

func (c *config) wrong() error { return fmt.Errorf("line %d: %w", c.line, errSyntax) }

var errSyntax = errors.New("it is not in the syntax of git's configuration")

// next returns the next byte. At the end it returns a line feed and false.
func (c *config) next() (b byte, ok bool) {
	if c.text == "" {
		return '\n', false
	}
	b, c.text = c.text[0], c.text[1:]
	if b == '\n' {
		c.line++
	}
	return b, true
}

// section reads a section header after its opening bracket, up to the closing one.
func (c *config) section() (name string, ok bool) {
	var out strings.Builder
	b, ok := c.next()
	for ; ok && b != ']' && !isSpace(b); b, ok = c.next() {
		if !isKey(b) && b != '.' {
			return "", false
		}
		out.WriteByte(lower(b))
	}
	if !ok || b == ']' {
		return out.String(), ok
	}
	for ; isSpace(b); b, _ = c.next() {
		if b == '\n' {
			return "", false
		}
	}
	if b != '"' {
		return "", false
	}
	out.WriteByte('.')
	for {
		b, _ = c.next()
		if b == '"' {
			break
		}
		if b == '\\' {
			b, _ = c.next()
		}
		if b == '\n' {
			return "", false
		}
		out.WriteByte(b)
	}
	b, _ = c.next()
	return out.String(), b == ']'
}

// variable reads a variable whose name begins with first.
func (c *config) variable(first byte) (key, value string, ok bool) {
	name := []byte{lower(first)}
	b, ok := c.next()
	for ; ok && isKey(b); b, ok = c.next() {
		name = append(name, lower(b))
	}
	for b == ' ' || b == '\t' {
		b, _ = c.next()
	}
	switch b {
	case '\n':
		return string(name), "", true
	case '=':
		value, ok = c.value()
		return string(name), value, ok
	}
	return "", "", false
}

// value reads a value after the equals sign.
func (c *config) value() (string, bool) {
	var out []byte
	end := 0 // without trailing spaces
	quoted, comment := false, false
	for {
		b, _ := c.next()
		switch {
		case b == '\n':
			return string(out[:end]), !quoted
		case comment:
			continue
		case isSpace(b) && !quoted:
			if len(out) > 0 {
				out = append(out, b)
			}
			continue
		case (b == ';' || b == '#') && !quoted:
			comment = true
			continue
		case b == '"':
			quoted = !quoted
		case b == '\\':
			b, _ = c.next()
			switch b {
			case '\n':
				continue
			case 't':
				b = '\t'
			case 'b':
				b = '\b'
			case 'n':
				b = '\n'
			case '\\', '"':
			default:
				return "", false
			}
			out = append(out, b)
		default:
			out = append(out, b)
		}
		end = len(out)
	}
}

func isSpace(b byte) bool  { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }
func isLetter(b byte) bool { return 'a' <= lower(b) && lower(b) <= 'z' }
func isKey(b byte) bool    { return isLetter(b) || '0' <= b && b <= '9' || b == '-' }

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		b += 'a' - 'A'
	}
	return b
}
