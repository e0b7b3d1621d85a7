// Package cargo is the adapter for cargo and sparse registries of crates.
//
// cargo has no variable for the address of its own registry, only configuration files. The file Config below ecosystem.SetupDir replaces it. Whoever runs
// cargo has to make that file one of cargo's, without writing into a folder of the user. Either of these does:
//
//   - a link /.cargo to ecosystem.SetupDir/cargo: cargo reads .cargo/config.toml of the folder of the build and of each folder above it;
//   - a link Home/config.toml to ecosystem.SetupDir/cargo/config.toml: Setup sets CARGO_HOME to Home, which must be writable.
//
// With ecosystem.DoorProxy no file is needed. Registries with a git index do not work with either door.
package cargo

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

// Kind is the kind of source of cargo's registries (source.Crate).
const Kind = "crate"

const (
	// Config is the configuration file below SetupDir; see the comment of the package.
	Config = "cargo/config.toml"
	// Home is CARGO_HOME in a sandbox. It is empty at first: what a warm cache answers would be missing in the recording.
	Home = "/tmp/nuka-cargo"
)

// Adapter implements ecosystem.Adapter and ecosystem.Locker.
//
// The address of a crate's file is in the registry's config.json, and not in its index. So the files of Read have no Request: the one that Describe returns for
// the request of a client has the same Package, Version and Name.
type Adapter struct{}

// Name implements ecosystem.Adapter.
func (Adapter) Name() string { return "cargo" }

// Kinds implements ecosystem.Adapter.
func (Adapter) Kinds() []string { return []string{Kind} }

// Doors implements ecosystem.Adapter.
func (Adapter) Doors() []ecosystem.Door {
	return []ecosystem.Door{ecosystem.DoorRegistry, ecosystem.DoorProxy}
}

// Setup implements ecosystem.Adapter. With DoorProxy cargo asks its own registries, or those of the project's files. An upstream with a scope is a registry of that name: Cargo.lock
// has its address, so it is reached with DoorProxy only. A project whose own .cargo/config.toml does not name it gets it by a variable, which no recording has.
func (Adapter) Setup(d ecosystem.Door, base string, upstreams []ecosystem.Upstream) ecosystem.Setup {
	env := map[string]string{"CARGO_HOME": Home, "CARGO_NET_RETRY": "1"} // the proxy tries again itself
	if d == ecosystem.DoorProxy {
		env["CARGO_HTTP_CAINFO"] = ecosystem.SetupDir + "/" + ecosystem.CAFile
		for _, u := range upstreams {
			if u.Scope != "" && u.URL != "" {
				env["CARGO_REGISTRIES_"+strings.ToUpper(strings.ReplaceAll(u.Scope, "-", "_"))+"_INDEX"] = "sparse+" + u.URL + "/"
			}
		}
		return ecosystem.Setup{Env: env}
	}
	var toml strings.Builder
	if i := slices.IndexFunc(upstreams, func(u ecosystem.Upstream) bool { return u.Scope == "" }); i >= 0 {
		alias := upstreams[i].Alias
		fmt.Fprintf(&toml, "[source.crates-io]\nreplace-with = \"nuka-%s\"\n\n[source.nuka-%s]\nregistry = \"sparse+%s/%s/\"\n\n", alias, alias, base, alias)
	}
	return ecosystem.Setup{Env: env, Files: map[string]string{Config: toml.String()}}
}

// Variant implements ecosystem.Adapter.
func (Adapter) Variant(string, string) (variant, ask string) { return "", "*/*" }

// Classify implements ecosystem.Adapter.
func (a Adapter) Classify(r ecosystem.Request) ecosystem.Class {
	switch {
	case strings.HasSuffix(r.Path, ".crate") || a.Describe(r) != nil: // there is a crate "download", so the name alone does not tell
		return ecosystem.Artefact
	case strings.HasPrefix(r.Path, "/api/"):
		return ecosystem.Text
	}
	return ecosystem.Index
}

var (
	goodName = lazyregexp.New(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)
	checksum = lazyregexp.New(`^[0-9a-f]{64}$`)
)

const maxVersion = 256 // bytes

// isVersion reports whether a text is a version by semver.org, with three numbers.
func isVersion(version string) bool {
	plain, _, _ := strings.Cut(version, "+")
	return len(version) <= maxVersion && semver.IsValid("v"+version) && semver.Canonical("v"+version) == "v"+plain
}

// Describe implements ecosystem.Adapter. It reads the usual forms of addresses (cargo's reference, "Index Format", dl): …/CRATE/VERSION/download,
// …/CRATE/CRATE-VERSION.crate, …/CRATE-VERSION.crate, and a folder for the crate with one for the version, also with the checksum as the name of the file.
func (Adapter) Describe(r ecosystem.Request) *ecosystem.File {
	text, err := url.PathUnescape(r.Path)
	if err != nil {
		return nil
	}
	parts := strings.Split(strings.Trim(text, "/"), "/")
	last := parts[len(parts)-1]
	base, isCrate := strings.CutSuffix(last, ".crate")
	found := func(name, version string) *ecosystem.File {
		if !goodName().MatchString(name) || !isVersion(version) {
			return nil
		}
		f := fileOf(r.Alias, name, version)
		f.Request = r
		if checksum().MatchString(base) {
			f.Promised, _ = pir.ParseHash("sha256:" + base)
		}
		return &f
	}
	if isCrate {
		for i := range base {
			if base[i] == '-' {
				if f := found(base[:i], base[i+1:]); f != nil {
					return f
				}
			}
		}
		if len(parts) > 1 {
			if f := found(parts[len(parts)-2], base); f != nil {
				return f
			}
		}
	}
	if len(parts) > 2 && (isCrate || last == "download") {
		return found(parts[len(parts)-3], parts[len(parts)-2])
	}
	return nil
}

// fileOf returns what the name and the version of a crate of a registry tell of its file. Only crates of cargo's own registry have an origin, as nuka would ask that registry: it
// would learn names of others.
func fileOf(registry, name, version string) ecosystem.File {
	f := ecosystem.File{Package: name, Version: version, Name: name + "-" + version + ".crate"}
	if registry == Kind || registry == Kind+"-dl" {
		f.Origin = nuon.Record{"kind": Kind, "name": name, "version": version}
	}
	return f
}

// asked returns the name of the crate, in lower case, that a request for an index is about; "" for config.json.
func asked(r ecosystem.Request) string {
	if name := path.Base(r.Path); name != "config.json" {
		return strings.ToLower(name)
	}
	return ""
}
