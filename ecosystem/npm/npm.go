// Package npm is the adapter for clients of npm registries.
//
// npm (11), pnpm (9, 10) and Yarn (1, 4) were recorded and replayed with it. pnpm reads the same variables and the same npmrc file; its lock file has no addresses. Yarn 1
// writes the addresses of files into yarn.lock, and goes to those that are there: use DoorProxy if there is a yarn.lock, or one is to be written. YARN_REGISTRY
// is for it: without that it puts its own registry in place of npm's. Yarn 2 and later have YARN_NPM_REGISTRY_SERVER, and no registries of scopes by variables;
// their lock files have no addresses.
//
// Registries answer in two forms: the whole record of a package ("packument"), and a short one without the times of releases. The adapter asks for the whole
// record always, because the cooldown needs the times. Clients that prefer the short form accept the whole one.
package npm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/pir/nuon"
)

// Kind is the kind of source of npm's registries (source.NPM).
const Kind = "npm"

// Cache is the cache folder of npm in a sandbox. It is empty at first: what a warm cache answers would be missing in the recording.
const Cache = "/tmp/nuka-npm"

// Config is the file below SetupDir that npm and pnpm read in place of the user's npmrc file.
const Config = "npmrc"

// Adapter implements ecosystem.Adapter, ecosystem.Checker, ecosystem.Dater, ecosystem.Locker and ecosystem.Namer.
type Adapter struct{}

// Name implements ecosystem.Adapter.
func (Adapter) Name() string { return "npm" }

// Kinds implements ecosystem.Adapter.
func (Adapter) Kinds() []string { return []string{Kind} }

// Doors implements ecosystem.Adapter. npm install writes the addresses of files into package-lock.json: with DoorRegistry those are addresses of the proxy,
// so a client that may write a lock file needs DoorProxy. npm ci reads it only, and puts the registry in place of its hosts.
func (Adapter) Doors() []ecosystem.Door {
	return []ecosystem.Door{ecosystem.DoorRegistry, ecosystem.DoorProxy}
}

// Setup implements ecosystem.Adapter. Registries of scopes are in the file Config, and in variables, which come before a project's .npmrc:
// a shell may drop a variable with such a name.
func (Adapter) Setup(d ecosystem.Door, base string, upstreams []ecosystem.Upstream) ecosystem.Setup {
	env := map[string]string{
		"npm_config_audit": "false", "npm_config_fund": "false", "npm_config_update_notifier": "false", "npm_config_cache": Cache,
		"npm_config_userconfig": ecosystem.SetupDir + "/" + Config, "NO_UPDATE_NOTIFIER": "1",
		"YARN_ENABLE_TELEMETRY": "0", "YARN_CACHE_FOLDER": Cache + "/yarn", "YARN_UNSAFE_HTTP_WHITELIST": "127.0.0.1",
	}
	if d == ecosystem.DoorProxy {
		file := ecosystem.SetupDir + "/" + ecosystem.CAFile
		env["npm_config_cafile"], env["NODE_EXTRA_CA_CERTS"], env["YARN_HTTPS_CA_FILE_PATH"] = file, file, file
	} else {
		env["npm_config_replace_registry_host"] = "always"
	}
	var npmrc strings.Builder
	for _, u := range upstreams {
		address := base + "/" + u.Alias + "/"
		if d == ecosystem.DoorProxy && u.URL != "" { // a replay has no addresses of registries
			address = u.URL + "/"
		}
		switch {
		case strings.HasPrefix(u.Scope, "@"):
			env["npm_config_"+u.Scope+":registry"] = address
			fmt.Fprintf(&npmrc, "%s:registry=%s\n", u.Scope, address)
		case env["npm_config_registry"] == "":
			env["npm_config_registry"], env["YARN_NPM_REGISTRY_SERVER"], env["YARN_REGISTRY"] = address, address, address
			fmt.Fprintf(&npmrc, "registry=%s\n", address)
		}
	}
	return ecosystem.Setup{Env: env, Files: map[string]string{Config: npmrc.String()}}
}

// Variant implements ecosystem.Adapter. The whole record is the only form.
func (Adapter) Variant(_, accept string) (variant, ask string) {
	if strings.Contains(accept, "json") {
		return "", "application/json"
	}
	return "", "*/*"
}

// Classify implements ecosystem.Adapter.
func (Adapter) Classify(r ecosystem.Request) ecosystem.Class {
	switch {
	case strings.HasSuffix(r.Path, ".tgz") || strings.HasSuffix(r.Path, ".tar.gz"):
		return ecosystem.Artefact
	case strings.HasPrefix(r.Path, "/-/"):
		return ecosystem.Text
	}
	return ecosystem.Index
}

// Describe implements ecosystem.Adapter. It reads paths as npm's registry has them: NAME/-/BASE-VERSION.tgz, where BASE is NAME without its scope, or with it.
func (Adapter) Describe(r ecosystem.Request) *ecosystem.File {
	before, file, ok := strings.Cut(unescape(r.Path), "/-/")
	if !ok {
		return nil
	}
	folder := strings.Split(before, "/")
	base := folder[len(folder)-1]
	name := base
	if n := len(folder); n > 1 && strings.HasPrefix(folder[n-2], "@") {
		name = folder[n-2] + "/" + base
	}
	file = path.Base(file)
	version, ok := strings.CutPrefix(file, base+"-")
	if !ok {
		return nil
	}
	if version, ok = strings.CutSuffix(version, ".tgz"); !ok || !isVersion(version) || !isName(name) {
		return nil
	}
	return &ecosystem.File{Request: r, Package: name, Version: version, Name: file, Origin: origin(name, version)}
}

func origin(name, version string) nuon.Record {
	return nuon.Record{"kind": Kind, "name": name, "version": version}
}

func unescape(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

// NoStore implements ecosystem.Unpacker: npm writes a file and a record of it into its cache before it unpacks it, and nobody reads that cache again.
func (Adapter) NoStore() bool { return true }

const (
	maxName    = 214 // bytes (npm's validate-npm-package-name)
	maxVersion = 256 // characters (semver.js)
)

// isName reports whether a text can be a package's name, also of the old ones with capitals.
func isName(name string) bool {
	base := name
	if scope, rest, ok := strings.Cut(name, "/"); ok {
		if len(scope) < 2 || scope[0] != '@' {
			return false
		}
		base = rest
	}
	return base != "" && len(name) <= maxName && base[0] != '.' && !strings.ContainsFunc(name, func(c rune) bool {
		return c <= ' ' || c > '~' || strings.ContainsRune(`%\?#:"<>`, c)
	}) && !strings.Contains(base, "/")
}

// isVersion reports whether a text can be a version: one by semver.org, or one of the old ones that are only like it.
func isVersion(version string) bool {
	return version != "" && len(version) <= maxVersion && version[0] >= '0' && version[0] <= '9' && !strings.ContainsFunc(version, func(c rune) bool {
		return c != '.' && c != '-' && c != '+' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
}

// asked returns the name of the package that a request for an index is about, and the version or tag if it is about one.
func asked(r ecosystem.Request) (name, version string) {
	parts := strings.Split(strings.Trim(unescape(r.Path), "/"), "/")
	if strings.HasPrefix(parts[0], "@") && len(parts) > 1 {
		parts = append([]string{parts[0] + "/" + parts[1]}, parts[2:]...)
	}
	if len(parts) > 1 {
		version = parts[1]
	}
	return parts[0], version
}

// Date implements ecosystem.Dater, for files that a client asks for by its lock file, without their index, and for records of one version. The answer is
// the record of the package. If r asks for that itself and it tells no times, there is no other question.
func (a Adapter) Date(r ecosystem.Request, version string) (ecosystem.Request, func(http.Header, []byte) time.Time, bool) {
	name := ""
	if f := a.Describe(r); f != nil {
		name = f.Package
	} else if of, one := asked(r); one != "" && a.Classify(r) == ecosystem.Index {
		name = of
	}
	if !isName(name) {
		return ecosystem.Request{}, nil, false
	}
	return ecosystem.Request{Alias: r.Alias, Path: "/" + strings.Replace(name, "/", "%2F", 1)}, func(_ http.Header, body []byte) time.Time {
		var record struct {
			Name string
			Time map[string]json.RawMessage
		}
		if json.Unmarshal(body, &record) != nil || record.Name != name {
			return time.Time{}
		}
		return released(record.Time[version])
	}, true
}

// released reads an entry of the times of a record.
func released(raw json.RawMessage) time.Time {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}
