package inventory

import (
	"strings"
	"sync"

	"github.com/github/go-spdx/v2/spdxexp"
	"github.com/github/go-spdx/v2/spdxexp/spdxlicenses"
)

var licenseIDs = sync.OnceValue(func() map[string]bool {
	ids := map[string]bool{}
	for _, id := range append(spdxlicenses.GetLicenses(), spdxlicenses.GetDeprecated()...) {
		ids[id] = true
	}
	return ids
})

// maxExpression bounds what is read as an SPDX expression; the parser is recursive. Longer texts are names.
const maxExpression = 1 << 10

// licenses says what the texts of licenses are, and remembers it: one inventory has few of them.
type licenses struct{ known map[string]licenseForm }

type licenseForm int

const (
	licenseText       licenseForm = iota // what a publisher wrote, in no form
	licenseID                            // an identifier of the SPDX list
	licenseExpression                    // an SPDX expression of such identifiers
)

func (l *licenses) form(text string) licenseForm {
	if form, ok := l.known[text]; ok {
		return form
	}
	form := licenseText
	switch {
	case licenseIDs()[text]:
		form = licenseID
	// References lead to texts that an inventory does not have.
	case len(text) <= maxExpression && !strings.Contains(text, "LicenseRef-") && !strings.Contains(text, "DocumentRef-") && expression(text):
		form = licenseExpression
	}
	if l.known == nil {
		l.known = map[string]licenseForm{}
	}
	l.known[text] = form
	return form
}

func expression(text string) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	ok, _ = spdxexp.ValidateLicenses([]string{text})
	return ok
}
