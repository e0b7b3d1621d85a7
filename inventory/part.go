package inventory

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/MordragT/nuka/pir"
)

// Where is the place of a part in a package.
type Where string

// The places.
const (
	Language Where = "language package" // a package manager asked for it, as a recording tells, or the content names it
	Package  Where = "package"          // a package of nuka
	Runtime  Where = "runtime"          // of the environment that programs run or build in, such as a Debian package
	Source   Where = "source"           // a package of nuka is made from it
)

// Seen tells what an inventory knows of the way of a language package into the content.
type Seen string

// What is known. The content of a package that is not in the store, or that names nothing, tells neither.
const (
	Unknown   Seen = ""
	Installed Seen = "installed" // the content names it
	Fetched   Seen = "fetched"   // the build fetched it, and the content names others of its ecosystem but not it: a tool of the build, or bundled
)

// A Part is one thing that a package is made of.
type Part struct {
	Where Where `json:"where"`
	// Type is that of a package URL: npm, pypi, cargo, golang, maven, deb, generic.
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	PURL    string `json:"purl,omitempty"` // by ECMA-427; "" if Name has none
	// License is an SPDX expression or the text that its publisher wrote instead; "" is unknown.
	License  string `json:"license,omitempty"`
	Released string `json:"released,omitempty"` // date; "" is unknown
	// Notice says that nobody should use it any more, as its registry said when it was recorded (ecosystem.NoticeOf); "" is nothing.
	Notice string `json:"notice,omitempty"`
	Seen   Seen   `json:"seen,omitempty"`
	// PID is that of a package of nuka; zero for others.
	PID   pir.PID `json:"pid,omitzero"`
	Files []File  `json:"files,omitempty"` // the main one first
	// Upstream is, of a binary Debian package, its source package: the name and version by which Debian speaks of vulnerabilities. "" is unknown.
	Upstream        string `json:"upstream,omitempty"`
	UpstreamVersion string `json:"upstreamVersion,omitempty"`
	// Tool says that only tools of a build lead to it: packages whose role is tool, and the environment of a build in which its programs do not run.
	Tool bool `json:"tool,omitempty"`
	// Fixes are, of a package of nuka, the vulnerabilities that a patch of its build fixes, as its packager says.
	Fixes []string `json:"fixes,omitempty"`
	// Of are the packages of nuka that it belongs to, sorted.
	Of []pir.PID `json:"of,omitempty"`
}

// A File is one file of a part.
type File struct {
	Name string `json:"name,omitempty"`
	Size int64  `json:"size,omitempty"`
	// Hashes are ALGORITHM:HEX, sorted. The bytes were compared with each. Hashes that are not over the bytes of a file are not here.
	Hashes []string `json:"hashes,omitempty"`
	// Content is the hash by which the store and package files name the file or tree.
	Content string `json:"content,omitempty"`
	Origin  string `json:"origin,omitempty"` // canonical NUON
	// Checked names what was verified beside the hashes, such as npm-signature:KEY.
	Checked string `json:"checked,omitempty"`
}

// An Inventory lists the parts of a package.
type Inventory struct {
	Root  Part
	Parts []Part // sorted
	// Missing are reasons why the list is not whole, in words for the user, sorted.
	Missing []string
}

// main reports whether a name is that of a file that is used, and not one that describes another.
func (f *File) main() bool {
	switch path.Ext(f.Name) {
	case ".pom", ".mod", ".info", ".metadata", ".module", ".sha1", ".sha256", ".asc", ".xml":
		return false
	}
	return true
}

func compareFiles(a, b File) int {
	rank := func(f *File) int {
		if f.main() {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(rank(&a), rank(&b)), cmp.Compare(b.Size, a.Size), strings.Compare(a.Name, b.Name), strings.Compare(a.Content, b.Content))
}

// A partKey is what two mentions of one part have in common.
type partKey struct {
	where               Where
	kind, name, version string
	id                  pir.PID
	purl                string
}

func (p *Part) key() partKey { return partKey{p.Where, p.Type, p.Name, p.Version, p.PID, p.PURL} }

// A list collects parts, each once.
type list struct {
	at map[partKey]*listed
}

// A listed part has sets in place of lists.
type listed struct {
	Part
	of    map[pir.PID]bool
	files map[fileKey]*File
}

type fileKey struct{ name, content string }

// add adds a part, or joins it with one that is there.
func (l *list) add(p Part) {
	if l.at == nil {
		l.at = map[partKey]*listed{}
	}
	there := l.at[p.key()]
	if there == nil {
		there = &listed{Part: p, of: map[pir.PID]bool{}, files: map[fileKey]*File{}}
		l.at[p.key()] = there
	}
	there.Tool = there.Tool && p.Tool // contained on one way is contained
	there.Upstream, there.UpstreamVersion = cmp.Or(there.Upstream, p.Upstream), cmp.Or(there.UpstreamVersion, p.UpstreamVersion)
	there.Notice = cmp.Or(there.Notice, p.Notice)
	there.License, there.Released = cmp.Or(there.License, p.License), cmp.Or(there.Released, p.Released)
	if p.Seen == Installed || there.Seen == Unknown { // installed for one package is installed
		there.Seen = p.Seen
	}
	for _, id := range p.Of {
		there.of[id] = true
	}
	for _, f := range p.Files {
		key := fileKey{f.Name, f.Content}
		if have := there.files[key]; have != nil {
			have.Hashes = slices.Compact(slices.Sorted(slices.Values(append(have.Hashes, f.Hashes...))))
			have.Origin, have.Checked, have.Size = cmp.Or(have.Origin, f.Origin), cmp.Or(have.Checked, f.Checked), max(have.Size, f.Size)
			continue
		}
		f.Hashes = slices.Compact(slices.Sorted(slices.Values(f.Hashes)))
		there.files[key] = &f
	}
}

// parts returns the parts, sorted by place, type, name and version.
func (l *list) parts() []Part {
	out := make([]Part, 0, len(l.at))
	for _, p := range l.at {
		p.Of = slices.SortedFunc(maps.Keys(p.of), comparePIDs)
		p.Files = nil
		for _, f := range p.files {
			p.Files = append(p.Files, *f)
		}
		slices.SortFunc(p.Files, compareFiles)
		out = append(out, p.Part)
	}
	slices.SortFunc(out, func(a, b Part) int {
		return cmp.Or(strings.Compare(string(a.Where), string(b.Where)), strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name),
			strings.Compare(a.Version, b.Version), strings.Compare(a.PURL, b.PURL), comparePIDs(a.PID, b.PID))
	})
	return out
}

func comparePIDs(a, b pir.PID) int { return slices.Compare(a[:], b[:]) }
