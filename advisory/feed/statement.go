package feed

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/MordragT/nuka/advisory/osv"
	"github.com/MordragT/nuka/pir"
)

// Status is what a packager says of a record and a package of their set: the words of OpenVEX.
type Status string

// The statuses.
const (
	NotAffected   Status = "not_affected"
	Fixed         Status = "fixed"
	IsAffected    Status = "affected"
	Investigating Status = "under_investigation"
)

// reasons are the justifications of OpenVEX that not_affected needs one of.
var reasons = []string{
	"component_not_present", "vulnerable_code_not_present", "vulnerable_code_not_in_execute_path", "vulnerable_code_cannot_be_controlled_by_adversary",
	"inline_mitigations_already_exist",
}

const (
	maxStated = 20_000 // statements of a feed
	maxWhen   = 20     // flags of one statement
)

// A Statement is what a packager says of one record and one package of their own package set. It is no part of a PIR, so a statement made later rebuilds nothing.
type Statement struct {
	ID      string `json:"id"`      // of a record, or an alias
	Package string `json:"package"` // its name in the package set
	// Versions and PID restrict the statement: one of them is given.
	Versions []string `json:"versions,omitempty"`
	PID      pir.PID  `json:"pid,omitzero"`
	// When has values of flags of the package; the statement holds only if the package was built with them. Flags that were not given are false.
	When   map[string]bool `json:"when,omitempty"`
	Status Status          `json:"status"`
	Why    string          `json:"why,omitempty"` // a justification of OpenVEX
	Text   string          `json:"text,omitempty"`
}

// Clears reports whether a statement says that there is nothing to do.
func (s *Statement) Clears() bool { return s.Status == NotAffected || s.Status == Fixed }

// Check returns what is wrong with a statement.
func (s *Statement) Check() error {
	switch {
	case !osv.IsID(s.ID):
		return fmt.Errorf("statement: id %.80q is none: a statement is about one record", s.ID)
	case s.Package == "" || len(s.Package) > 100 || strings.ContainsAny(s.Package, "*? \t"):
		return fmt.Errorf("statement about %s: package %.80q is none: a statement is about one package", s.ID, s.Package)
	case s.PID.IsZero() == (len(s.Versions) == 0):
		return fmt.Errorf("statement about %s and %s: want versions, or a pid", s.ID, s.Package)
	case len(s.Versions) > 1000 || len(s.When) > maxWhen || len(s.Text) > 2000:
		return fmt.Errorf("statement about %s and %s: it is too long", s.ID, s.Package)
	case !slices.Contains([]Status{NotAffected, Fixed, IsAffected, Investigating}, s.Status):
		return fmt.Errorf("statement about %s and %s: status %.40q is none", s.ID, s.Package, string(s.Status))
	case s.Status == NotAffected && !slices.Contains(reasons, s.Why):
		return fmt.Errorf("statement about %s and %s: %s needs why, one of %s", s.ID, s.Package, s.Status, strings.Join(reasons, ", "))
	}
	return nil
}

// ParseStatements reads the statements that a packager wrote: a JSON list. Unknown fields are errors.
func ParseStatements(text []byte) ([]Statement, error) {
	if len(text) > maxStatements {
		return nil, fmt.Errorf("the statements have more than %d bytes", maxStatements)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var list []Statement
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("statements: %w", err)
	}
	if d.More() {
		return nil, errors.New("statements: something follows the list")
	}
	if len(list) > maxStated {
		return nil, fmt.Errorf("%d statements are more than %d", len(list), maxStated)
	}
	for i := range list {
		if err := list[i].Check(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// encodeStatements returns the text of the statements of a feed, sorted.
func encodeStatements(list []Statement) ([]byte, error) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Statement) int {
		return cmp.Or(strings.Compare(a.Package, b.Package), strings.Compare(a.ID, b.ID), slices.Compare(a.Versions, b.Versions), slices.Compare(a.PID[:], b.PID[:]))
	})
	var out bytes.Buffer
	text := json.NewEncoder(&out)
	text.SetEscapeHTML(false)
	text.SetIndent("", " ")
	if err := text.Encode(list); err != nil {
		return nil, err
	}
	_, err := ParseStatements(out.Bytes())
	return out.Bytes(), err
}

// decodeStatements reads the statements of a feed. Those that are wrong, or of another form, do not count: a statement only ever takes findings away.
func decodeStatements(text []byte) ([]Statement, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("statements: %w", err)
	}
	var out []Statement
	for _, one := range raw[:min(len(raw), maxStated)] {
		if list, err := ParseStatements(append(append([]byte("["), one...), ']')); err == nil {
			out = append(out, list...)
		}
	}
	return out, nil
}
