package pir

import (
	"fmt"
	"maps"
	"slices"

	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/pir/nuon"
)

const (
	// Version is the version of the PIR format, the field "pir" of every PIR.
	Version = 1
	// Edition is the edition of the Nushell language that closures are written in, the field "nu".
	Edition = "0.115"
	// MaxSize bounds the canonical bytes of a PIR.
	MaxSize = 4 << 20
)

// An Unpack is the way in which fetched bytes become a tree.
type Unpack string

// The ways to unpack.
const (
	// UnpackFile keeps the bytes as one file.
	UnpackFile Unpack = "file"
	// UnpackArchive unpacks a tar (plain, gzip, xz, zstd, bzip2) or a zip, recognised by its first bytes.
	UnpackArchive Unpack = "archive"
	// UnpackDeb unpacks the data of a Debian binary package.
	UnpackDeb Unpack = "deb"
	// UnpackDebRaw unpacks a Debian binary package as `dpkg-deb --raw-extract` does: its data, and its control archive in the folder DEBIAN.
	UnpackDebRaw Unpack = "deb-raw"
)

// Unpacks returns the ways to unpack.
func Unpacks() []Unpack { return []Unpack{UnpackFile, UnpackArchive, UnpackDeb, UnpackDebRaw} }

// A Layout is the rule by which an environment arranges the files of its packages. "" keeps each file at the path that its package gives it.
// The rule is part of what a PID means: a layout never changes, a better one gets another name.
type Layout string

// LayoutFHS1 makes one tree of the Filesystem Hierarchy Standard from Debian packages and others: see package fhs.
const LayoutFHS1 Layout = "fhs-1"

// LayoutFiles1 makes one folder of packages that are single files: each has the name that the environment gives it.
const LayoutFiles1 Layout = "files-1"

// Layouts returns the layouts.
func Layouts() []Layout { return []Layout{LayoutFHS1, LayoutFiles1} }

// A PIR describes one repeatable computation.
// Kind determines which fields are set. Encode and Decode check that.
type PIR struct {
	Kind     Kind
	Name     string   // of build, native, env, data
	Version  string   // of build, native, env; may be empty
	Platform Platform // of build, native, env: what the output needs to run
	Runtime  PID      // of native: the environment with a layout whose programs the closure drives
	// Recording is, of native, the answers that the build's package manager gets: an environment of the layout files-1. Zero: the build has no network.
	Recording PID

	Packages map[string]PID    // of build, native, env: inputs, by the name the closure uses
	Src      Src               // of build, native
	Build    nuon.Record       // of build, native: the frozen closure {nu, captures, defs}
	Env      map[string]string // of build, native: variables of its programs; of env: variables of a shell in it
	Merge    map[string]Merge  // of env: how the files of packages enter it, by the names in Packages
	Layout   Layout            // of env; may be empty
	Run      nuon.Record       // of build, native, env: commands, permissions, service
	Policy   nuon.Record       // of build, native: license, memory safety, fixed CVEs

	Hash   Hash   // of fetch: fixes the output
	Unpack Unpack // of fetch
	Strip  int    // of fetch: leading path components dropped from every name of an archive

	Data any // of data: a canonical value
}

// Src holds the sources of a build: one source, or several with names. The zero Src is none.
type Src struct {
	One   PID
	Named map[string]PID
}

// IsZero reports whether there are no sources.
func (s Src) IsZero() bool { return s.One.IsZero() && len(s.Named) == 0 }

var (
	namePattern    = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$`)
	versionPattern = lazyregexp.New(`^[A-Za-z0-9.:_+~-]{0,100}$`)
	envPattern     = lazyregexp.New(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)
)

// A FieldError names the wrong field of a PIR and the reason.
type FieldError struct {
	Field string
	Err   error
}

func (e *FieldError) Error() string { return fmt.Sprintf("field %q: %v", e.Field, e.Err) }

// Unwrap returns the reason.
func (e *FieldError) Unwrap() error { return e.Err }

func fieldErr(field, format string, args ...any) error {
	return &FieldError{field, fmt.Errorf(format, args...)}
}

// Encode returns the canonical bytes of p, whose hash is the PID.
func (p *PIR) Encode() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("encode pir %s: %w", p.Name, err)
	}
	b, err := nuon.Encode(p.record(func(id PID) string { return id.String() }))
	if err != nil {
		return nil, fmt.Errorf("encode pir %s: %w", p.Name, err)
	}
	if len(b) > MaxSize {
		return nil, fmt.Errorf("encode pir %s: %d bytes are more than %d", p.Name, len(b), MaxSize)
	}
	return b, nil
}

// record returns p as a record; ref writes the inputs.
func (p *PIR) record(ref func(PID) string) nuon.Record {
	rec := nuon.Record{"pir": int64(Version), "kind": string(p.Kind)}
	kinds[p.Kind].record(p, rec, ref)
	return rec
}

// check returns an error about the first field that is wrong for the kind.
func (p *PIR) check() error {
	rules, ok := kinds[p.Kind]
	if !ok {
		return fieldErr("kind", "%q is not one of %s", p.Kind, Kinds())
	}
	if p.Layout != "" && p.Kind != Env {
		return fieldErr("layout", "only an environment has one")
	}
	if !p.Runtime.IsZero() && p.Kind != Native {
		return fieldErr("runtime", "only a native build has one")
	}
	if !p.Recording.IsZero() && p.Kind != Native {
		return fieldErr("recording", "only a native build has one")
	}
	return rules.check(p)
}

func checkRefs(field string, refs map[string]PID) error {
	for _, name := range slices.Sorted(maps.Keys(refs)) {
		if !namePattern().MatchString(name) {
			return fieldErr(field, "name %.100q: want letters, digits and . _ + -", name)
		}
		if refs[name].IsZero() {
			return fieldErr(field, "%s has no PID", name)
		}
	}
	return nil
}

func (p *PIR) checkRun() error {
	run := p.Run
	if _, there := run["runtime"]; there {
		if p.Kind != Native {
			return fieldErr("run", "runtime: only a native build has one")
		}
		if _, ok := p.RunsIn(); !ok {
			return fieldErr("run", "runtime: want true, or the name of one of its packages")
		}
	}
	commands, ok := run["commands"]
	if !ok {
		return nil
	}
	list, ok := commands.(nuon.List)
	if !ok {
		return fieldErr("run", "commands: want a list of names")
	}
	for _, c := range list {
		if name, ok := c.(string); !ok || !namePattern().MatchString(name) {
			return fieldErr("run", "commands: %.100v is not the name of a program", c)
		}
	}
	return nil
}

// Tools returns the packages that a build finds at /nuka/store, not their closures: its packages, and of a native build its runtime.
func (p *PIR) Tools() []PID {
	list := slices.Collect(maps.Values(p.Packages))
	if !p.Runtime.IsZero() {
		list = append(list, p.Runtime)
	}
	return list
}

// RunsIn returns the environment in which the programs of a native build run: its own runtime, or the one of its packages that run.runtime names. ok is false
// if the PIR names none.
func (p *PIR) RunsIn() (id PID, ok bool) {
	switch v := p.Run["runtime"].(type) {
	case bool:
		return p.Runtime, v && !p.Runtime.IsZero()
	case string:
		id, ok = p.Packages[v]
		return id, ok
	}
	return PID{}, false
}

// Commands returns the names of the programs in p. The first is the default.
// If p declares no commands, the result is empty and the output's bin folder decides.
func (p *PIR) Commands() []string {
	var names []string
	list, _ := p.Run["commands"].(nuon.List)
	for _, c := range list {
		if name, ok := c.(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// Inputs returns the PIDs that must be realized before p can be built, sorted, each once.
func (p *PIR) Inputs() []PID {
	seen := map[PID]bool{}
	for _, id := range p.Packages {
		seen[id] = true
	}
	for _, id := range p.Src.Named {
		seen[id] = true
	}
	if !p.Src.One.IsZero() {
		seen[p.Src.One] = true
	}
	for _, id := range []PID{p.Runtime, p.Recording} {
		if !id.IsZero() {
			seen[id] = true
		}
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b PID) int { return slices.Compare(a[:], b[:]) })
}
