package apt

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/debversion"
)

// A SuiteDate is a suite, by its code name, and the date of its index.
type SuiteDate struct {
	Name string
	Date time.Time
}

// An Index holds the newest version of each package in some suites, for one architecture. Its zero value is empty.
type Index struct {
	Arch   string
	Suites []SuiteDate

	packages map[string]*Package
	provided map[string][]provider // by the provided name
}

// A provider is a package that provides another name, with a version or "".
type provider struct {
	pkg     *Package
	version string
}

// NewIndex returns an empty Index for an architecture.
func NewIndex(arch string) *Index { return &Index{Arch: arch, packages: map[string]*Package{}} }

// Read adds the packages of one packages file, which is decompressed already. Of several versions of a package, the newest counts; of equal versions that
// of the suite that was read first.
func (x *Index) Read(suite string, r io.Reader) error {
	x.provided = nil
	here := map[[2]string]Digest{}
	for p, err := range ReadPackages(r) {
		if err != nil {
			return fmt.Errorf("%s: %w", suite, err)
		}
		if p.Arch != x.Arch && p.Arch != "all" {
			return protocol.Errorf(protocol.Invalid, "%s: package %s is for the architecture %.50q, and the file for %s", suite, p.Name, p.Arch, x.Arch)
		}
		p.Suite = suite
		key := [2]string{p.Name, p.Version}
		if old, ok := here[key]; ok && old != p.SHA256 {
			return protocol.Errorf(protocol.Invalid, "%s: package %s %s is listed twice, with different hashes", suite, p.Name, p.Version)
		}
		here[key] = p.SHA256
		if q := x.packages[p.Name]; q == nil || debversion.Compare(p.Version, q.Version) > 0 {
			x.packages[p.Name] = p
		}
	}
	return nil
}

// Len returns the number of packages.
func (x *Index) Len() int { return len(x.packages) }

// Package returns the newest version of a package, or nil.
func (x *Index) Package(name string) *Package { return x.packages[name] }

// providers returns the packages that provide a name, best first: by priority, then by name.
func (x *Index) providers(name string) []provider {
	if x.provided == nil {
		x.provided = map[string][]provider{}
		for _, p := range x.packages {
			for part := range relations(p.provides) {
				r := parseRelation(part)
				x.provided[r.name] = append(x.provided[r.name], provider{p, r.version})
			}
		}
		for _, list := range x.provided {
			slices.SortFunc(list, func(a, b provider) int {
				return cmp.Or(cmp.Compare(priority(a.pkg), priority(b.pkg)), strings.Compare(a.pkg.Name, b.pkg.Name), strings.Compare(a.version, b.version))
			})
		}
	}
	return x.provided[name]
}

// priority returns the rank of a package's priority (Debian policy, section 2.5).
func priority(p *Package) int {
	if i := slices.Index([]string{"required", "important", "standard", "optional"}, p.Priority); i >= 0 {
		return i
	}
	return 4
}
