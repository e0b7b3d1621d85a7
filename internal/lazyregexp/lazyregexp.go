// Package lazyregexp compiles regular expressions when they are first used. Patterns of a package that are compiled as the program starts cost each command their
// time, and patterns with repetitions cost the most.
package lazyregexp

import (
	"regexp"
	"sync"
)

// New returns a function that returns the compiled expression. It may be called from several goroutines. An expression that does not compile panics at the first call.
func New(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
