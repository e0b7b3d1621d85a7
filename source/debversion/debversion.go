// Package debversion orders the versions of Debian packages.
package debversion

import (
	"cmp"
	"strconv"
	"strings"
)

// Compare orders versions (deb-version(7)). It returns a negative number, zero or a positive number, as cmp.Compare.
func Compare(a, b string) int {
	epoch := func(v string) (int, string) {
		if before, rest, ok := strings.Cut(v, ":"); ok {
			n, err := strconv.Atoi(before)
			if err == nil {
				return n, rest
			}
		}
		return 0, v
	}
	epochA, a := epoch(a)
	epochB, b := epoch(b)
	if epochA != epochB {
		return cmp.Compare(epochA, epochB)
	}
	cut := func(v string) (upstream, revision string) {
		if i := strings.LastIndex(v, "-"); i >= 0 {
			return v[:i], v[i+1:]
		}
		return v, ""
	}
	upstreamA, revisionA := cut(a)
	upstreamB, revisionB := cut(b)
	return cmp.Or(part(upstreamA, upstreamB), part(revisionA, revisionB))
}

// part compares alternating non-numeric and numeric parts.
func part(a, b string) int {
	for a != "" || b != "" {
		textA, restA := splitWhile(a, func(c byte) bool { return !isDigit(c) })
		textB, restB := splitWhile(b, func(c byte) bool { return !isDigit(c) })
		for i := range max(len(textA), len(textB)) {
			if c := cmp.Compare(order(textA, i), order(textB, i)); c != 0 {
				return c
			}
		}
		numberA, numberB := "", ""
		numberA, a = splitWhile(restA, isDigit)
		numberB, b = splitWhile(restB, isDigit)
		numberA, numberB = strings.TrimLeft(numberA, "0"), strings.TrimLeft(numberB, "0")
		if c := cmp.Or(cmp.Compare(len(numberA), len(numberB)), cmp.Compare(numberA, numberB)); c != 0 {
			return c
		}
	}
	return 0
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func splitWhile(text string, is func(byte) bool) (begin, rest string) {
	i := 0
	for i < len(text) && is(text[i]) {
		i++
	}
	return text[:i], text[i:]
}

// order returns a character's rank: a tilde is before the end, letters are before other characters.
func order(text string, i int) int {
	if i >= len(text) {
		return 0
	}
	switch c := text[i]; {
	case c == '~':
		return -1
	case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
		return int(c)
	default:
		return int(c) + 256
	}
}
