package inventory

import (
	"strings"

	"github.com/github/go-spdx/v2/spdxexp"
)

// maxExpression bounds what is read as an SPDX expression, in bytes; the parser is recursive. Longer texts are names.
const maxExpression = 1 << 10

// licenses reads the texts of licenses, and remembers them: one inventory has few.
type licenses struct{ known map[string]string }

// expression returns the SPDX expression that a text is, in its usual spelling; "" if it is none.
// Identifiers are not told apart from expressions: the list of CycloneDX's schema is older than that of SPDX, and an identifier is an expression.
func (l *licenses) expression(text string) string {
	if e, ok := l.known[text]; ok {
		return e
	}
	e := ""
	// References lead to texts that an inventory does not have.
	if len(text) <= maxExpression && !strings.Contains(text, "Ref-") {
		e = parseExpression(text)
	}
	if l.known == nil {
		l.known = map[string]string{}
	}
	l.known[text] = e
	return e
}

func parseExpression(text string) (e string) {
	defer func() {
		if recover() != nil { // of the parser
			e = ""
		}
	}()
	if good, bad := spdxexp.ValidateAndNormalizeLicensesWithOptions([]string{text}, spdxexp.ValidateLicensesOptions{}); len(bad) == 0 && len(good) == 1 {
		return good[0]
	}
	return ""
}
