// Package version orders the versions of an ecosystem's packages as that ecosystem does.
//
// An Order first says whether a text is a version at all. Comparing texts that are none would give an answer, and a wrong one: to an audit a version that cannot be
// read is "not evaluated", never "not affected".
package version

import (
	"cmp"
	"regexp"
	"strings"
	"sync"

	"github.com/google/osv-scalibr/semantic"
	"golang.org/x/mod/semver"

	"github.com/MordragT/nuka/source/debversion"
	"github.com/MordragT/nuka/source/pyversion"
)

// MaxLength bounds a version, in bytes. The comparison of some ecosystems is quadratic in it.
const MaxLength = 256

// An Order orders the versions of one ecosystem.
type Order struct {
	valid   func(string) bool
	compare func(a, b string) int
}

// orders maps the names that OSV gives to ecosystems, without the release that may follow a colon.
var orders = map[string]Order{
	"Go":        {isSemver, compareSemver},
	"npm":       {isSemver, compareSemver},
	"crates.io": {isSemver, compareSemver},
	"PyPI":      {isPython, comparePython},
	"Debian":    {isDebian, debversion.Compare},
	"Maven":     {isMaven, compareMaven},
}

// Of returns the order of an ecosystem, as OSV names it, such as Go or Debian:12. If nuka has none, ok is false.
func Of(ecosystem string) (o Order, ok bool) {
	base, _, _ := strings.Cut(ecosystem, ":")
	o, ok = orders[base]
	return o, ok
}

// Valid reports whether a text is a version of the ecosystem.
func (o Order) Valid(v string) bool { return v != "" && len(v) <= MaxLength && o.valid(v) }

// Compare orders two valid versions. It returns a negative number, zero or a positive number, as cmp.Compare.
func (o Order) Compare(a, b string) int { return o.compare(a, b) }

// semverOf returns a version as x/mod/semver reads it: those of Go have a v and those of npm, crates and OSV's records have none.
func semverOf(v string) string { return "v" + strings.TrimPrefix(v, "v") }

func isSemver(v string) bool { return semver.IsValid(semverOf(v)) }

func compareSemver(a, b string) int { return semver.Compare(semverOf(a), semverOf(b)) }

func isPython(v string) bool {
	_, ok := pyversion.Parse(v)
	return ok
}

func comparePython(a, b string) int {
	v, _ := pyversion.Parse(a)
	w, _ := pyversion.Parse(b)
	return v.Compare(w)
}

// debian is the form of deb-version(7): a colon only behind an epoch, which has few digits, so that it is a number.
var debian = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([0-9]{1,9}:[A-Za-z0-9][A-Za-z0-9.+~:-]*|[A-Za-z0-9][A-Za-z0-9.+~-]*)$`)
})

func isDebian(v string) bool { return debian().MatchString(v) }

// maven is what the versions of artifacts are made of. Maven itself takes any text.
var maven = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`) })

func isMaven(v string) bool {
	if !maven().MatchString(v) {
		return false
	}
	_, err := semantic.Parse(v, "Maven")
	return err == nil
}

func compareMaven(a, b string) int {
	v, err := semantic.Parse(a, "Maven")
	if err != nil {
		return cmp.Compare(a, b) // the caller has checked that they are valid
	}
	n, err := v.CompareStr(b)
	if err != nil {
		return cmp.Compare(a, b)
	}
	return n
}
