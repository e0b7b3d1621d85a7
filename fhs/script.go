package fhs

import (
	"slices"
	"strings"

	"github.com/MordragT/nuka/internal/lazyregexp"
)

// Bounds on the commands that are read from one maintainer script.
const (
	maxCommands = 1000
	maxWords    = 1000
)

// commands returns the words of each line of a shell script in which a word is the name of a program, after the lines that a backslash joins
// are one. It reads no control flow: a line in a branch that does not run counts as well. The first word is the program.
// Variables are replaced if the script sets them once, to a plain text; a line with another expansion is left out.
func commands(script []byte, program string) [][]string {
	text := strings.ReplaceAll(string(script), "\\\n", " ")
	if !strings.Contains(text, program) {
		return nil
	}
	values := variables(text)
	var all [][]string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, program) {
			continue
		}
		for _, c := range shellCommands(line, values) {
			i := slices.IndexFunc(c.words, func(w string) bool { return w == program || strings.HasSuffix(w, "/"+program) })
			if i >= 0 && c.known && len(all) < maxCommands {
				all = append(all, c.words[i:])
			}
		}
	}
	return all
}

// assignment matches a line that sets a variable to a text without expansions.
var assignment = lazyregexp.New(`(?m)^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$`)

// loops matches the variables that a loop or a command sets.
var loops = lazyregexp.New(`(?m)(?:^|[;&|({ \t])(?:for|read(?:[ \t]+-r)?|getopts[ \t]+\S+|unset|local|readonly)[ \t]+([A-Za-z_][A-Za-z0-9_]*)`)

// variables returns the variables of a script that have one value everywhere.
func variables(text string) map[string]string {
	values := map[string]string{}
	unsure := map[string]bool{}
	for _, m := range loops().FindAllStringSubmatch(text, -1) {
		unsure[m[1]] = true
	}
	for _, m := range assignment().FindAllStringSubmatch(text, -1) {
		value, plain := "", false
		if list := shellCommands(m[2], nil); len(list) == 0 {
			plain = true // an empty text
		} else if plain = len(list) == 1 && len(list[0].words) == 1 && list[0].known; plain {
			value = list[0].words[0]
		}
		if before, set := values[m[1]]; !plain || set && before != value {
			unsure[m[1]] = true
		}
		values[m[1]] = value
	}
	for name := range unsure {
		delete(values, name)
	}
	return values
}

// A command is the words of one command of a script.
type command struct {
	words []string
	// known reports that all expansions were replaced, and that each quote has an end.
	known bool
}

// shellCommands splits a line into commands and words, as a shell does (sh(1), "Quoting"): quotes, backslashes, comments. It replaces variables by
// values.
func shellCommands(line string, values map[string]string) (all []command) {
	var word strings.Builder
	now, open := command{known: true}, false
	endWord := func() {
		if open && len(now.words) < maxWords {
			now.words = append(now.words, word.String())
		}
		word.Reset()
		open = false
	}
	end := func() {
		if endWord(); len(now.words) > 0 && len(all) < maxCommands {
			all = append(all, now)
		}
		now = command{known: true}
	}
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '$' && quote != '\'':
			name, length := variable(line[i:])
			value, known := values[name]
			now.known = now.known && known
			open = true
			word.WriteString(value)
			i += length - 1
		case c == '`' && quote != '\'':
			now.known = false
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(line):
			i++
			open = true
			word.WriteByte(line[i])
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, open = c, true
		case strings.IndexByte(" \t\r\n", c) >= 0:
			endWord()
		case c == '#' && !open:
			end()
			return all
		case strings.IndexByte(";&|<>()", c) >= 0:
			end()
		default:
			open = true
			word.WriteByte(c)
		}
	}
	now.known = now.known && quote == 0
	end()
	return all
}

// variable returns the name of the variable at the start of a text that begins with $, and the length of the expansion.
// The name is "" for other expansions.
func variable(text string) (name string, length int) {
	rest, braces := strings.CutPrefix(text, "${")
	if !braces {
		rest = text[1:]
	}
	n := 0
	for n < len(rest) && (rest[n] == '_' || rest[n]|0x20 >= 'a' && rest[n]|0x20 <= 'z' || n > 0 && rest[n] >= '0' && rest[n] <= '9') {
		n++
	}
	switch {
	case !braces:
		return rest[:n], 1 + n
	case n < len(rest) && rest[n] == '}':
		return rest[:n], 2 + n + 1
	}
	return "", 1
}
