package fhs

import (
	"regexp"
	"strings"
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
		words, ok := shellWords(line, values)
		for i, w := range words {
			if w == program || strings.HasSuffix(w, "/"+program) {
				if ok && len(all) < maxCommands {
					all = append(all, words[i:])
				}
				break
			}
		}
	}
	return all
}

// assignment matches a line that sets a variable to a text without expansions.
var assignment = regexp.MustCompile(`(?m)^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$`)

// loops matches the variables that a loop or a command sets.
var loops = regexp.MustCompile(`(?m)(?:^|[;&|({ \t])(?:for|read(?:[ \t]+-r)?|getopts[ \t]+\S+|unset|local|readonly)[ \t]+([A-Za-z_][A-Za-z0-9_]*)`)

// variables returns the variables of a script that have one value everywhere.
func variables(text string) map[string]string {
	values := map[string]string{}
	unsure := map[string]bool{}
	for _, m := range loops.FindAllStringSubmatch(text, -1) {
		unsure[m[1]] = true
	}
	for _, m := range assignment.FindAllStringSubmatch(text, -1) {
		words, ok := shellWords(m[2], nil)
		value := strings.Join(words, " ")
		if before, set := values[m[1]]; !ok || len(words) > 1 || set && before != value {
			unsure[m[1]] = true
		}
		values[m[1]] = value
	}
	for name := range unsure {
		delete(values, name)
	}
	return values
}

// shellWords splits the first command of a line into words, as a shell does (sh(1), "Quoting"): quotes, backslashes, comments.
// It reports false if the line has an expansion that values do not resolve, or a quote without an end.
func shellWords(line string, values map[string]string) (words []string, ok bool) {
	var word strings.Builder
	open, ok := false, true
	end := func() {
		if open && len(words) < maxWords {
			words = append(words, word.String())
		}
		word.Reset()
		open = false
	}
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '$' && quote != '\'':
			name, length := variable(line[i:])
			value, known := values[name]
			if !known {
				ok = false
			}
			open = true
			word.WriteString(value)
			i += length - 1
		case c == '`' && quote != '\'':
			ok = false
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
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			end()
		case c == '#' && !open:
			end()
			return words, ok
		case c == ';' || c == '&' || c == '|' || c == '<' || c == '>' || c == '(' || c == ')':
			end()
			if isCommand(words) {
				return words, ok
			}
			words, ok = nil, true // the command may follow: test -x y && x
		default:
			open = true
			word.WriteByte(c)
		}
	}
	end()
	return words, ok && quote == 0
}

// isCommand reports whether words have an option, as each command does that is of interest here.
func isCommand(words []string) bool {
	for _, w := range words {
		if strings.HasPrefix(w, "--") {
			return true
		}
	}
	return false
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
