package npm

import (
	"encoding/json"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/protocol"
)

// Locked implements ecosystem.Locker, for package-lock.json and npm-shrinkwrap.json of lockfileVersion 2 and 3, for pnpm-lock.yaml of versions 6 and 9, and for yarn.lock of
// Yarn 1. The yarn.lock of later ones has hashes of archives that Yarn makes, which tell nothing about those of the registry.
// The files are in the order of the lock file. A package without an address or a hash, such as a folder of the project, is left out.
func (a Adapter) Locked(file string, content []byte, request func(url string) ecosystem.Request) ([]ecosystem.File, error) {
	switch path.Base(file) {
	case "package-lock.json", "npm-shrinkwrap.json":
	case "pnpm-lock.yaml":
		return a.lockedByPnpm(file, content)
	case "yarn.lock":
		return a.lockedByYarn(file, content, request)
	default:
		return nil, nil
	}
	var lock struct {
		Packages map[string]struct{ Name, Version, Resolved, Integrity string }
	}
	if err := json.Unmarshal(content, &lock); err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "%s: %v", file, err)
	}
	var out []ecosystem.File
	for _, at := range slices.Sorted(maps.Keys(lock.Packages)) {
		p := lock.Packages[at]
		u, err := url.Parse(p.Resolved)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
			continue
		}
		name := p.Name // of an alias
		if i := strings.LastIndex(at, "node_modules/"); i >= 0 && name == "" {
			name = at[i+len("node_modules/"):]
		}
		f := ecosystem.File{Request: request(u.String()), Package: name, Version: p.Version, Name: path.Base(u.Path)}
		if isName(name) && isVersion(p.Version) {
			f.Origin = origin(name, p.Version)
		}
		if f.Promised, f.Weak, err = promise(p.Integrity, ""); err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "%s: %s: %v", file, at, err)
		}
		out = append(out, f)
	}
	return out, nil
}

// Named implements ecosystem.Namer. A client reads the index of an optional package for another platform, but never asks for its file. Most packages name
// such a version exactly; if they name a range, the index has no version that is asked for, and Recorder keeps it whole.
func (Adapter) Named(r ecosystem.Request, base string, body []byte, request func(string) ecosystem.Request, keep func(*ecosystem.File) bool) ([]ecosystem.File, error) {
	p, err := parse(r, base, body, request)
	if err != nil {
		return nil, err
	}
	var out []ecosystem.File
	for _, v := range p.versions {
		if !keep(&v.file) {
			continue
		}
		for _, field := range []string{"dependencies", "optionalDependencies", "peerDependencies"} {
			var named map[string]string
			if json.Unmarshal(v.get(field), &named) != nil {
				continue
			}
			for _, name := range slices.Sorted(maps.Keys(named)) {
				version := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(named[name]), "="))
				if isExact(version) && isName(name) {
					out = append(out, ecosystem.File{Package: name, Version: version})
				}
			}
		}
	}
	return out, nil
}
