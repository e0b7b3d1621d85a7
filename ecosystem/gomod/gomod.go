// Package gomod is the adapter for the go command and module proxies.
//
// The go command compares each module with go.sum, and what is not there with the checksum database. It asks the database through the module proxy
// (/sumdb/… of go.dev/ref/mod#checksum-database), so its answers are recorded as any others, and each program checks their signatures itself. A replay
// compares each byte with the recording, and needs no database: a Replay has it switched off, and what only the database was asked needs no place in a recording
// (see Checksums).
package gomod

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/pir/nuon"
)

// Kind is the kind of source of module proxies (source.Go).
const Kind = "go"

// Cache is the module cache in a sandbox. It is empty at first: what a warm cache answers would be missing in the recording.
const Cache = "/tmp/nuka-go"

// Adapter implements ecosystem.Checker, ecosystem.Adapter, ecosystem.Dater and ecosystem.Locker.
type Adapter struct{}

// Name implements ecosystem.Adapter.
func (Adapter) Name() string { return "go" }

// Kinds implements ecosystem.Adapter.
func (Adapter) Kinds() []string { return []string{Kind} }

// Doors implements ecosystem.Adapter.
func (Adapter) Doors() []ecosystem.Door {
	return []ecosystem.Door{ecosystem.DoorRegistry, ecosystem.DoorProxy}
}

// Setup implements ecosystem.Adapter. Upstreams without a URL are those of a replay, which needs no checksum database.
func (Adapter) Setup(d ecosystem.Door, base string, upstreams []ecosystem.Upstream) ecosystem.Setup {
	env := map[string]string{
		"GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local", "GOVCS": "*:off", "GOENV": "off", "GOMODCACHE": Cache,
		"GOPRIVATE": "", "GONOPROXY": "none",
	}
	recorded := true
	var proxies []string
	for _, u := range upstreams {
		if d == ecosystem.DoorProxy {
			proxies = append(proxies, u.URL)
		} else {
			proxies = append(proxies, base+"/"+u.Alias)
		}
		recorded = recorded && u.URL == ""
	}
	if recorded {
		env["GOSUMDB"] = "off"
	}
	env["GOPROXY"] = strings.Join(append(proxies, "off"), ",")
	return ecosystem.Setup{Env: env}
}

// Variant implements ecosystem.Adapter.
func (Adapter) Variant(string, string) (variant, ask string) { return "", "*/*" }

// A question is what a path of a module proxy asks (go.dev/ref/mod#goproxy-protocol).
type question struct {
	prefix string // before the module, such as /proxy; "" with DoorRegistry
	module string // its path, not escaped
	what   string // list, latest, info, mod, zip
	// version is a version, or a query such as a branch with info.
	version string
}

// parse reads a path. With DoorProxy it may have more before the module, whose first part has a dot.
func parse(r ecosystem.Request) (q question, ok bool) {
	text, err := url.PathUnescape(r.Path)
	if err != nil {
		return q, false
	}
	text = strings.TrimPrefix(text, "/")
	escaped, rest, found := strings.Cut(text, "/@v/")
	if !found {
		if escaped, found = strings.CutSuffix(text, "/@latest"); !found {
			return q, false
		}
		q.what = "latest"
	} else if rest == "list" {
		q.what = "list"
	} else {
		q.what = strings.TrimPrefix(path.Ext(rest), ".")
		if q.what != "info" && q.what != "mod" && q.what != "zip" {
			return q, false
		}
		if q.version, err = module.UnescapeVersion(strings.TrimSuffix(rest, path.Ext(rest))); err != nil {
			return q, false
		}
	}
	for first, rest, more := strings.Cut(escaped, "/"); more && !strings.Contains(first, "."); first, rest, more = strings.Cut(escaped, "/") {
		q.prefix, escaped = q.prefix+"/"+first, rest
	}
	if q.module, err = module.UnescapePath(escaped); err != nil {
		return q, false
	}
	return q, q.what == "latest" || q.what == "list" || q.what == "info" || isVersion(q.version)
}

// isVersion reports whether a text is the version of a module.
func isVersion(version string) bool {
	return len(version) <= 256 && semver.IsValid(version) && module.CanonicalVersion(version) == version
}

// Classify implements ecosystem.Adapter.
func (Adapter) Classify(r ecosystem.Request) ecosystem.Class {
	q, ok := parse(r)
	switch {
	case ok && q.what == "zip":
		return ecosystem.Artefact
	case ok && (q.what == "list" || q.what == "latest"):
		return ecosystem.Index
	case strings.HasPrefix(r.Path, "/sumdb/") && strings.Contains(r.Path, "/lookup/"):
		return ecosystem.Index
	}
	return ecosystem.Text
}

// Checksums reports whether r is a question to a checksum database. Its answers are those of one time, signed, and no replay needs them.
func (Adapter) Checksums(r ecosystem.Request) bool { return strings.HasPrefix(r.Path, "/sumdb/") }

// ByClient says in recordings that the go command asked the checksum database for the hash of a file. It verifies the signature of the database's tree, and that
// the answer is in the tree (golang.org/x/mod/sumdb), before it uses the file, and fails if not. The recorder compares the bytes with the same answer; it does not
// verify the signature again, because it does not know the user's database and its key.
const ByClient = "gosum-client"

// Check implements ecosystem.Checker.
func (Adapter) Check(f *ecosystem.File, _ func(ecosystem.Request) []byte) (string, error) {
	return f.Vouched, nil
}

// Describe implements ecosystem.Adapter: of a .zip, .mod or .info of a version.
func (Adapter) Describe(r ecosystem.Request) *ecosystem.File {
	q, ok := parse(r)
	if !ok || !isVersion(q.version) {
		return nil
	}
	f := ecosystem.File{Request: r, Package: q.module, Version: q.version, Name: q.version + "." + q.what}
	switch q.what {
	case "zip":
		f.Origin = nuon.Record{"kind": Kind, "name": q.module, "version": q.version}
	case "mod":
		f.Origin = modOrigin(q.module, q.version)
	}
	return &f
}

// modOrigin is the origin of the go.mod of a version: fetch go --mod.
func modOrigin(path, version string) nuon.Record {
	return nuon.Record{"kind": Kind, "name": path, "version": version, "mod": "true"}
}

// request returns the request for a file of a version; ending is zip, mod or info.
func (q question) request(alias, version, ending string) (ecosystem.Request, bool) {
	escaped, err := module.EscapePath(q.module)
	if err != nil || !isVersion(version) {
		return ecosystem.Request{}, false
	}
	v, err := module.EscapeVersion(version)
	if err != nil {
		return ecosystem.Request{}, false
	}
	return ecosystem.Request{Alias: alias, Path: q.prefix + "/" + escaped + "/@v/" + v + "." + ending}, true
}

// Date implements ecosystem.Dater. It asks for the .info of the version.
func (Adapter) Date(r ecosystem.Request, version string) (ecosystem.Request, func(http.Header, []byte) time.Time, bool) {
	q, ok := parse(r)
	if !ok {
		return ecosystem.Request{}, nil, false
	}
	info, ok := q.request(r.Alias, version, "info")
	return info, func(_ http.Header, body []byte) time.Time {
		if i, err := parseInfo(body); err == nil && i.Version == version {
			return i.Time.UTC()
		}
		return time.Time{}
	}, ok
}

// An info is the answer to .info and to @latest.
type info struct {
	Version string
	Time    time.Time
}

func parseInfo(body []byte) (i info, err error) {
	err = json.Unmarshal(body, &i)
	return i, err
}
