package source

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A pyVersion is a version as PEP 440 orders them. Two spellings of one version are equal.
type pyVersion struct {
	epoch   int
	release []int // without zeros at the end
	phase   int   // see there
	pre     int
	post    int // -1: none
	dev     int // -1: none
	local   string
}

// The phases of a release, in order.
const (
	phaseDev = iota // of a version that has a dev part only
	phaseAlpha
	phaseBeta
	phaseCandidate
	phaseFinal
)

// pyPattern is the pattern of PEP 440, appendix B.
var pyPattern = regexp.MustCompile(`^v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d*))?` +
	`(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?$`)

// parsePyVersion reads a version in any of its spellings.
func parsePyVersion(text string) (v pyVersion, ok bool) {
	m := pyPattern.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
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

func (v pyVersion) compare(w pyVersion) int {
	dev := func(n int) int { // no dev part comes last
		if n < 0 {
			return 1 << 30
		}
		return n
	}
	return cmp.Or(
		cmp.Compare(v.epoch, w.epoch), slices.Compare(v.release, w.release), cmp.Compare(v.phase, w.phase), cmp.Compare(v.pre, w.pre),
		cmp.Compare(v.post, w.post), cmp.Compare(dev(v.dev), dev(w.dev)), cmp.Compare(v.local, w.local))
}

// samePyVersion reports whether two texts are one version. Texts that are no versions are compared as they are.
func samePyVersion(a, b string) bool {
	v, okV := parsePyVersion(a)
	w, okW := parsePyVersion(b)
	if !okV || !okW {
		return a == b
	}
	return v.compare(w) == 0
}

var pySeparators = regexp.MustCompile(`[-_.]+`)

// pyName returns a project's name as indexes compare it (PEP 503).
func pyName(name string) string {
	return strings.ToLower(pySeparators.ReplaceAllString(name, "-"))
}

// pyFile splits a file's name into the project's name, normalised, and the version.
// A source archive of an earlier tool may have hyphens in both, so the name must be known.
func pyFile(file, project string) (version string, source, ok bool) {
	if stem, isWheel := strings.CutSuffix(file, ".whl"); isWheel {
		parts := strings.Split(stem, "-")
		if len(parts) < 5 || pyName(parts[0]) != project {
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
			if stem[i] == '-' && pyName(stem[:i]) == project {
				if _, isVersion := parsePyVersion(stem[i+1:]); isVersion {
					return stem[i+1:], true, true
				}
			}
		}
		return "", false, false
	}
	if stem, is := strings.CutSuffix(file, ".egg"); is {
		if name, rest, ok := strings.Cut(stem, "-"); ok && pyName(name) == project {
			version, _, _ := strings.Cut(rest, "-")
			return version, false, true
		}
	}
	return "", false, false
}
