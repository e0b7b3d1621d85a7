package pir

import (
	"maps"
	"slices"

	"github.com/MordragT/nuka/pir/nuon"
)

// A Kind is the way in which a PIR becomes content.
type Kind string

// The kinds of PIR. Each is a row of the table kinds. A test checks every switch over kinds and every map of them (internal/floors).
const (
	// Fetch is a fixed output: bytes from outside that must have a given hash.
	Fetch Kind = "fetch"
	// Build is a frozen closure run by the embedded Nushell, driving WebAssembly programs.
	Build Kind = "build"
	// Native is a build whose closure drives programs of a runtime, in the sandbox.
	Native Kind = "native"
	// Env is a merged tree of packages: a profile or a runtime.
	Env Kind = "env"
	// Data is a canonical value, written down.
	Data Kind = "data"
)

// Kinds returns the kinds, sorted.
func Kinds() []Kind { return slices.Sorted(maps.Keys(kinds)) }

// rules are the properties of a kind of PIR.
type rules struct {
	verb   string // the verb for making it
	long   bool   // users wait for it
	inputs bool   // it is made from other packages
	builds bool   // a frozen closure makes it
	// check returns an error about the first wrong field.
	check func(p *PIR) error
	// record adds the fields to rec; ref writes the inputs.
	record func(p *PIR, rec nuon.Record, ref func(PID) string)
}

var kinds = map[Kind]rules{
	Fetch:  {verb: "fetch", long: true, check: (*PIR).checkFetch, record: (*PIR).recordFetch},
	Build:  {verb: "build", long: true, inputs: true, builds: true, check: (*PIR).checkBuild, record: (*PIR).recordBuild},
	Native: {verb: "build", long: true, inputs: true, builds: true, check: (*PIR).checkNative, record: (*PIR).recordNative},
	Env:    {verb: "merge", inputs: true, check: (*PIR).checkEnv, record: (*PIR).recordEnv},
	Data:   {verb: "write", check: (*PIR).checkData, record: (*PIR).recordData},
}

// Verb returns the verb for making a PIR of the kind: fetch, build, merge, write; "" if k is not a kind.
func (k Kind) Verb() string { return kinds[k].verb }

// Long reports whether making a PIR of the kind takes long enough to count as a step of progress.
func (k Kind) Long() bool { return kinds[k].long }

// HasInputs reports whether a PIR of the kind is made from other packages.
func (k Kind) HasInputs() bool { return kinds[k].inputs }

// Builds reports whether a frozen closure makes a PIR of the kind.
func (k Kind) Builds() bool { return kinds[k].builds }

func (p *PIR) checkFetch() error {
	if !slices.Contains(Unpacks(), p.Unpack) {
		return fieldErr("unpack", "%q is not one of %s", p.Unpack, Unpacks())
	}
	if p.Hash.IsZero() {
		return fieldErr("hash", "missing")
	}
	if p.Strip < 0 || p.Strip > 32 {
		return fieldErr("strip", "%d is not from 0 to 32", p.Strip)
	}
	if p.Strip > 0 && p.Unpack == UnpackDebRaw {
		return fieldErr("strip", "%s keeps all folders", UnpackDebRaw)
	}
	return nil
}

func (p *PIR) recordFetch(rec nuon.Record, _ func(PID) string) {
	rec["hash"], rec["unpack"] = p.Hash.String(), string(p.Unpack)
	if p.Strip > 0 {
		rec["strip"] = int64(p.Strip)
	}
}

// checkName checks the name for checkBuild, checkEnv and checkData.
func (p *PIR) checkName() error {
	if !namePattern().MatchString(p.Name) {
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

// checkPackage checks the fields that a build and an env have in common.
func (p *PIR) checkPackage() error {
	if err := p.checkName(); err != nil {
		return err
	}
	if !versionPattern().MatchString(p.Version) {
		return fieldErr("version", "%.100q: want letters, digits and . : _ + ~ -, 100 at most", p.Version)
	}
	if err := checkRefs("packages", p.Packages); err != nil {
		return err
	}
	for k := range p.Env {
		if !envPattern().MatchString(k) {
			return fieldErr("env", "%.100q is not the name of an environment variable", k)
		}
	}
	return p.checkRun()
}

func (p *PIR) checkEnv() error {
	if err := p.checkPackage(); err != nil {
		return err
	}
	if len(p.Packages) == 0 {
		return fieldErr("packages", "an environment without packages")
	}
	if p.Layout != "" && !slices.Contains(Layouts(), p.Layout) {
		return fieldErr("layout", "%.100q is not one of %s", p.Layout, Layouts())
	}
	return p.checkMerge()
}

func (p *PIR) recordEnv(rec nuon.Record, ref func(PID) string) {
	p.recordPackage(rec, ref)
	if len(p.Merge) > 0 {
		merge := nuon.Record{}
		for name, m := range p.Merge {
			merge[name] = MergeRecord(m)
		}
		rec["merge"] = merge
	}
	if p.Layout != "" {
		rec["layout"] = string(p.Layout)
	}
}

// recordPackage adds the fields that a build and an env have in common.
func (p *PIR) recordPackage(rec nuon.Record, ref func(PID) string) {
	rec["name"], rec["version"], rec["platform"] = p.Name, p.Version, p.Platform.String()
	if len(p.Packages) > 0 {
		rec["packages"] = refs(p.Packages, ref)
	}
	if len(p.Run) > 0 {
		rec["run"] = p.Run
	}
	if len(p.Env) > 0 {
		env := nuon.Record{}
		for k, v := range p.Env {
			env[k] = v
		}
		rec["env"] = env
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
	return nil
}

func (p *PIR) recordBuild(rec nuon.Record, ref func(PID) string) {
	p.recordPackage(rec, ref)
	rec["nu"], rec["build"] = Edition, p.Build
	switch {
	case !p.Src.One.IsZero():
		rec["src"] = ref(p.Src.One)
	case len(p.Src.Named) > 0:
		rec["src"] = refs(p.Src.Named, ref)
	}
	if len(p.Policy) > 0 {
		rec["policy"] = p.Policy
	}
}

func (p *PIR) checkNative() error {
	if err := p.checkBuild(); err != nil {
		return err
	}
	if p.Runtime.IsZero() {
		return fieldErr("runtime", "missing")
	}
	if p.Platform == Any {
		return fieldErr("platform", "a native build needs an operating system and a cpu, such as linux-x86_64-gnu")
	}
	return nil
}

func (p *PIR) recordNative(rec nuon.Record, ref func(PID) string) {
	p.recordBuild(rec, ref)
	rec["runtime"] = ref(p.Runtime)
	if !p.Recording.IsZero() {
		rec["recording"] = ref(p.Recording)
	}
}

func refs(ids map[string]PID, ref func(PID) string) nuon.Record {
	out := nuon.Record{}
	for name, id := range ids {
		out[name] = ref(id)
	}
	return out
}
