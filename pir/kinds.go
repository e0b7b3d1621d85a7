package pir

import (
	"maps"
	"slices"

	"github.com/MordragT/nuka/pir/nuon"
)

// A Kind says how a PIR becomes content.
type Kind string

// The kinds of PIR. Each is a row of kinds; a test looks at every switch over them and every map of them (internal/floors).
const (
	// Fetch is a fixed output: bytes from outside that must have a given hash.
	Fetch Kind = "fetch"
	// Build is a frozen closure run by the embedded Nushell, driving WebAssembly programs.
	Build Kind = "build"
	// Env is a merged tree of packages: a profile or a runtime.
	Env Kind = "env"
	// Data is a value.
	Data Kind = "data"
)

// Kinds returns the kinds, sorted.
func Kinds() []Kind { return slices.Sorted(maps.Keys(kinds)) }

// rules are what a kind of PIR is.
type rules struct {
	verb   string // what making it is called
	long   bool   // people wait for it
	inputs bool   // it is made from other packages
	// check reports the first field that does not fit.
	check func(p *PIR) error
	// record adds the fields to rec, with the inputs written by ref.
	record func(p *PIR, rec nuon.Record, ref func(PID) string)
}

var kinds = map[Kind]rules{
	Fetch: {verb: "fetch", long: true, check: (*PIR).checkFetch, record: (*PIR).recordFetch},
	Build: {verb: "build", long: true, inputs: true, check: (*PIR).checkBuild, record: (*PIR).recordBuild},
	Env:   {verb: "merge", inputs: true, check: (*PIR).checkEnv, record: (*PIR).recordEnv},
	Data:  {verb: "write", check: (*PIR).checkData, record: (*PIR).recordData},
}

// Verb returns what making a PIR of the kind is called: fetch, build, merge, write; "" for what is no kind.
func (k Kind) Verb() string { return kinds[k].verb }

// Long reports whether people wait for a PIR of the kind to be made, so that it counts as a step.
func (k Kind) Long() bool { return kinds[k].long }

// HasInputs reports whether a PIR of the kind is made from other packages.
func (k Kind) HasInputs() bool { return kinds[k].inputs }

func (p *PIR) checkFetch() error {
	if !slices.Contains([]Unpack{UnpackFile, UnpackArchive, UnpackDeb}, p.Unpack) {
		return fieldErr("unpack", "%q is not one of file, archive, deb", p.Unpack)
	}
	if p.Hash.IsZero() {
		return fieldErr("hash", "missing")
	}
	if p.Strip < 0 || p.Strip > 32 {
		return fieldErr("strip", "%d is not from 0 to 32", p.Strip)
	}
	return nil
}

func (p *PIR) recordFetch(rec nuon.Record, _ func(PID) string) {
	rec["hash"], rec["unpack"] = p.Hash.String(), string(p.Unpack)
	if p.Strip > 0 {
		rec["strip"] = int64(p.Strip)
	}
}

// checkName is a part of checkBuild, checkEnv and checkData.
func (p *PIR) checkName() error {
	if !namePattern.MatchString(p.Name) {
		return fieldErr("name", "%.100q: want letters, digits and . _ + -, beginning with a letter or digit, 100 at most", p.Name)
	}
	return nil
}

func (p *PIR) checkData() error {
	if err := p.checkName(); err != nil {
		return err
	}
	if p.Data == nil {
		return fieldErr("data", "missing")
	}
	return nil
}

func (p *PIR) recordData(rec nuon.Record, _ func(PID) string) {
	rec["name"], rec["data"] = p.Name, p.Data
}

// checkPackage is what checkBuild and checkEnv share.
func (p *PIR) checkPackage() error {
	if err := p.checkName(); err != nil {
		return err
	}
	if !versionPattern.MatchString(p.Version) {
		return fieldErr("version", "%.100q: want letters, digits and . : _ + ~ -, 100 at most", p.Version)
	}
	if err := checkRefs("packages", p.Packages); err != nil {
		return err
	}
	return checkRun(p.Run)
}

func (p *PIR) checkEnv() error {
	if err := p.checkPackage(); err != nil {
		return err
	}
	if len(p.Packages) == 0 {
		return fieldErr("packages", "an environment without packages")
	}
	return nil
}

func (p *PIR) recordEnv(rec nuon.Record, ref func(PID) string) {
	rec["name"], rec["version"], rec["platform"] = p.Name, p.Version, p.Platform.String()
	if len(p.Packages) > 0 {
		rec["packages"] = refs(p.Packages, ref)
	}
	if len(p.Run) > 0 {
		rec["run"] = p.Run
	}
}

func (p *PIR) checkBuild() error {
	if err := p.checkPackage(); err != nil {
		return err
	}
	if err := checkRefs("src", p.Src.Named); err != nil {
		return err
	}
	if code, ok := p.Build["nu"].(string); !ok || code == "" {
		return fieldErr("build", "want a closure")
	}
	for k := range p.Build {
		if k != "nu" && k != "captures" && k != "defs" {
			return fieldErr("build", "unknown field %q", k)
		}
	}
	for k := range p.Env {
		if !envPattern.MatchString(k) {
			return fieldErr("env", "%.100q is not the name of an environment variable", k)
		}
	}
	return nil
}

func (p *PIR) recordBuild(rec nuon.Record, ref func(PID) string) {
	p.recordEnv(rec, ref)
	rec["nu"], rec["build"] = Edition, p.Build
	switch {
	case !p.Src.One.IsZero():
		rec["src"] = ref(p.Src.One)
	case len(p.Src.Named) > 0:
		rec["src"] = refs(p.Src.Named, ref)
	}
	if len(p.Env) > 0 {
		env := nuon.Record{}
		for k, v := range p.Env {
			env[k] = v
		}
		rec["env"] = env
	}
	if len(p.Policy) > 0 {
		rec["policy"] = p.Policy
	}
}

func refs(ids map[string]PID, ref func(PID) string) nuon.Record {
	out := nuon.Record{}
	for name, id := range ids {
		out[name] = ref(id)
	}
	return out
}
