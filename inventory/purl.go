package inventory

import (
	"strings"
	"unicode/utf8"

	"github.com/MordragT/nuka/internal/lazyregexp"
	packageurl "github.com/package-url/packageurl-go"
)

// types maps ecosystems and kinds of sources to the types of package URLs.
var types = map[string]string{
	"pip": "pypi", "pypi": "pypi", "npm": "npm", "cargo": "cargo", "crate": "cargo", "go": "golang", "maven": "maven", "deb": "deb", "debsrc": "deb",
}

var separators = lazyregexp.New(`[-_.]+`)

// normal returns the one spelling of a package's name in its ecosystem.
func normal(kind, name string) string {
	if kind == "pypi" { // PEP 503
		return strings.ToLower(separators().ReplaceAllString(name, "-"))
	}
	return name
}

// purl returns the package URL of a name, "" if there is none: an empty name, control characters, text that is not UTF-8.
func purl(kind, name, version string, qualifiers map[string]string) string {
	for _, s := range []string{name, version} {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return ""
		}
	}
	space := ""
	switch kind {
	case "npm", "golang":
		if i := strings.LastIndexByte(name, '/'); i >= 0 {
			space, name = name[:i], name[i+1:]
		}
	case "maven":
		if group, artifact, ok := strings.Cut(name, ":"); ok {
			space, name = group, artifact
		}
	case "deb":
		space = "debian"
	}
	if name == "" {
		return ""
	}
	u := packageurl.NewPackageURL(kind, space, name, version, packageurl.QualifiersFromMap(qualifiers), "")
	if u.Normalize() != nil {
		return ""
	}
	return u.ToString()
}
