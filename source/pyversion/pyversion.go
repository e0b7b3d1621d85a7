// Package pyversion reads the names and versions of Python packages, and orders versions (PEP 440, PEP 503).
package pyversion

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/MordragT/nuka/internal/lazyregexp"
)

// A Version is a version in the order of PEP 440. Two spellings of one version are equal.
type Version struct {
	epoch   int
	release []int // without trailing zeros
	phase   int   // one of the phases below
	pre     int
	post    int // -1: none
	dev     int // -1: none
	local   string
}

// The phases of a release, in order.
const (
	phaseDev = iota // a version with a dev part only
	phaseAlpha
	phaseBeta
	phaseCandidate
	phaseFinal
)

// pattern is the regular expression of PEP 440, appendix B.
var pattern = lazyregexp.New(`^v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d*))?` +
	`(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?$`)

// Parse reads a version in any of its spellings.
func Parse(text string) (v Version, ok bool) {
	m := pattern().FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if m == nil || len(text) > 200 {
		return v, false
	}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil && s != "" {
			ok = false
		}
		return n
	}
	ok = true
	v.epoch = number(m[1])
	for part := range strings.SplitSeq(m[2], ".") {
		v.release = append(v.release, number(part))
	}
	for len(v.release) > 1 && v.release[len(v.release)-1] == 0 {
		v.release = v.release[:len(v.release)-1]
	}
	v.post, v.dev, v.phase = -1, -1, phaseFinal
	switch m[3] {
	case "a", "alpha":
		v.phase = phaseAlpha
	case "b", "beta":
		v.phase = phaseBeta
	case "c", "rc", "pre", "preview":
		v.phase = phaseCandidate
	}
	v.pre = number(m[4])
	if m[5] != "" || m[6] != "" {
		v.post = number(m[5] + m[7])
	}
	if m[8] != "" {
		v.dev = number(m[9])
		if m[3] == "" && v.post < 0 {
			v.phase = phaseDev
		}
	}
	v.local = strings.NewReplacer("-", ".", "_", ".").Replace(m[10])
	return v, ok
}

// Compare orders versions. It returns a negative number, zero or a positive number, as cmp.Compare.
func (v Version) Compare(w Version) int {
	dev := func(n int) int { // no dev part orders last
		if n < 0 {
			return 1 << 30
		}
		return n
	}
	return cmp.Or(
		cmp.Compare(v.epoch, w.epoch), slices.Compare(v.release, w.release), cmp.Compare(v.phase, w.phase), cmp.Compare(v.pre, w.pre),
		cmp.Compare(v.post, w.post), cmp.Compare(dev(v.dev), dev(w.dev)), compareLocal(v.local, w.local))
}

// compareLocal orders local versions: part by part, numbers by value and after text; none is before each.
func compareLocal(a, b string) int {
	for a != "" && b != "" {
		var partA, partB string
		partA, a, _ = strings.Cut(a, ".")
		partB, b, _ = strings.Cut(b, ".")
		isA, isB := isNumber(partA), isNumber(partB)
		switch {
		case isA && isB:
			partA, partB = strings.TrimLeft(partA, "0"), strings.TrimLeft(partB, "0")
			if n := cmp.Or(cmp.Compare(len(partA), len(partB)), cmp.Compare(partA, partB)); n != 0 {
				return n
			}
		case isA:
			return 1
		case isB:
			return -1
		case partA != partB:
			return cmp.Compare(partA, partB)
		}
	}
	return cmp.Compare(len(a), len(b))
}

func isNumber(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// Key returns the same text for all spellings of a version, and another text for every other version.
func (v Version) Key() string {
	return fmt.Sprintf("%d!%v %d.%d post%d dev%d+%s", v.epoch, v.release, v.phase, v.pre, v.post, v.dev, v.local)
}

// Final reports whether v is a final or post-release, not a pre-release.
func (v Version) Final() bool { return v.phase == phaseFinal && v.dev < 0 }

// Same reports whether two texts are the same version. Texts that are not versions are compared as they are.
func Same(a, b string) bool {
	v, okV := Parse(a)
	w, okW := Parse(b)
	if !okV || !okW {
		return a == b
	}
	return v.Compare(w) == 0
}

var separators = lazyregexp.New(`[-_.]+`)

// Name returns a project's name in the normalised form of indexes (PEP 503).
func Name(name string) string {
	return strings.ToLower(separators().ReplaceAllString(name, "-"))
}

// File returns the version in a file's name, given the normalised name of the project.
// A source archive of an earlier tool may have hyphens in both, so the project must be known.
func File(file, project string) (version string, source, ok bool) {
	if stem, isWheel := strings.CutSuffix(file, ".whl"); isWheel {
		parts := strings.Split(stem, "-")
		if len(parts) < 5 || Name(parts[0]) != project {
			return "", false, false
		}
		return parts[1], false, true
	}
	for _, ending := range []string{".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tar.Z", ".tar"} {
		stem, is := strings.CutSuffix(file, ending)
		if !is {
			continue
		}
		for i := range len(stem) {
			if stem[i] == '-' && Name(stem[:i]) == project {
				if _, isVersion := Parse(stem[i+1:]); isVersion {
					return stem[i+1:], true, true
				}
			}
		}
		return "", false, false
	}
	if stem, is := strings.CutSuffix(file, ".egg"); is {
		if name, rest, ok := strings.Cut(stem, "-"); ok && Name(name) == project {
			version, _, _ := strings.Cut(rest, "-")
			return version, false, true
		}
	}
	return "", false, false
}
