// Package pip is the adapter for clients of Python package indexes: pip and uv.
//
// Both read the simple repository API, as JSON (PEP 691, 700) or HTML (PEP 503), and files of metadata beside wheels (PEP 658). The adapter asks for JSON whenever
// a client understands it, because only JSON tells when a file was uploaded.
package pip

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/pir/nuon"
)

// Kind is the kind of source of Python package indexes (source.PyPI).
const Kind = "pypi"

// Cache is the cache folder of uv in a sandbox. It is empty at first: what a warm cache answers would be missing in the recording.
const Cache = "/tmp/nuka-uv"

// Adapter implements ecosystem.Adapter, ecosystem.Checker for attestations, and ecosystem.Dater for indexes in HTML.
type Adapter struct{}

// Name implements ecosystem.Adapter.
func (Adapter) Name() string { return "pip" }

// Kinds implements ecosystem.Adapter.
func (Adapter) Kinds() []string { return []string{Kind} }

// Doors implements ecosystem.Adapter. With DoorProxy, the addresses in a uv.lock stay those of the registry.
func (Adapter) Doors() []ecosystem.Door {
	return []ecosystem.Door{ecosystem.DoorRegistry, ecosystem.DoorProxy}
}

// Setup implements ecosystem.Adapter. The first upstream without a scope is the index, and the others are further ones.
// uv asks those before the index, and pip asks all of them. Upstreams without a URL are those of a replay, and are asked at the proxy with both doors.
func (Adapter) Setup(d ecosystem.Door, base string, upstreams []ecosystem.Upstream) ecosystem.Setup {
	env := map[string]string{
		"PIP_CONFIG_FILE": "/dev/null", "PIP_NO_CACHE_DIR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_FIND_LINKS": "",
		"UV_CACHE_DIR": Cache, "UV_PYTHON_DOWNLOADS": "never", "UV_FIND_LINKS": "",
	}
	var indexes []string
	for _, u := range upstreams {
		at := u.URL + "/"
		if d == ecosystem.DoorRegistry || u.URL == "" {
			at = base + "/" + u.Alias + "/"
		}
		indexes = append(indexes, at)
	}
	if len(indexes) > 0 {
		env["PIP_INDEX_URL"], env["UV_DEFAULT_INDEX"] = indexes[0], indexes[0]
		more := strings.Join(indexes[1:], " ")
		env["PIP_EXTRA_INDEX_URL"], env["UV_INDEX"] = more, more
	}
	if d == ecosystem.DoorProxy {
		file := ecosystem.SetupDir + "/" + ecosystem.CAFile
		env["PIP_CERT"], env["SSL_CERT_FILE"] = file, file
	}
	return ecosystem.Setup{Env: env}
}

const (
	jsonType = "application/vnd.pypi.simple.v1+json"
	htmlType = "application/vnd.pypi.simple.v1+html"
	formJSON = "json"
	formHTML = "html"
)

// Variant implements ecosystem.Adapter. Files have one form only.
func (a Adapter) Variant(at, accept string) (variant, ask string) {
	const both = jsonType + ", " + htmlType + ";q=0.2, text/html;q=0.1"
	switch {
	case a.Classify(ecosystem.Request{Path: at}) != ecosystem.Index:
		return "", "*/*"
	case strings.Contains(accept, jsonType):
		return formJSON, both
	case accept == "":
		return "", both
	}
	return formHTML, htmlType + ", text/html;q=0.9"
}

// Classify implements ecosystem.Adapter.
func (Adapter) Classify(r ecosystem.Request) ecosystem.Class {
	name := strings.ToLower(strings.TrimSuffix(baseOf(r), ".metadata"))
	switch {
	case strings.HasSuffix(r.Path, "/"):
		return ecosystem.Index
	case name == "":
		return ecosystem.Text
	}
	for _, ending := range append([]string{".whl", ".egg"}, archives...) {
		if strings.HasSuffix(name, ending) {
			return ecosystem.Artefact
		}
	}
	if strings.Contains(name, ".") || strings.Contains(r.Path, "/integrity/") {
		return ecosystem.Text // signatures, and attestations (PEP 740)
	}
	return ecosystem.Index
}

var archives = []string{".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz"}

// baseOf returns the name of what a request asks for, which is "" for a folder.
func baseOf(r ecosystem.Request) string {
	plain, err := url.PathUnescape(r.Path)
	if err != nil || strings.HasSuffix(plain, "/") {
		return ""
	}
	return path.Base(plain)
}

// Describe implements ecosystem.Adapter.
func (Adapter) Describe(r ecosystem.Request) *ecosystem.File {
	name := baseOf(r)
	project, version, ok := split(strings.TrimSuffix(name, ".metadata"), "")
	if !ok {
		return nil
	}
	return &ecosystem.File{Request: r, Package: project, Version: version, Name: name, Origin: originOf(project, version, name)}
}

func originOf(project, version, file string) nuon.Record {
	return nuon.Record{"kind": Kind, "name": project, "version": version, "file": file}
}

var (
	separators = lazyregexp.New(`[-_.]+`)
	// goodVersion matches versions of PEP 440, appendix B.
	goodVersion = lazyregexp.New(`(?i)^v?(\d+!)?\d+(\.\d+)*([-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?\d*)?(-\d+|[-_.]?(post|rev|r)[-_.]?\d*)?` +
		`([-_.]?dev[-_.]?\d*)?(\+[a-z0-9]+([-_.][a-z0-9]+)*)?$`)
	goodProject = lazyregexp.New(`^[a-z0-9]+(-[a-z0-9]+)*$`)
)

// normal returns the name of a project as indexes have it (PEP 503).
func normal(name string) string { return strings.ToLower(separators().ReplaceAllString(name, "-")) }

// split returns the project and the version in the name of a wheel, an egg or a source archive. If project is not "", the file must be one of it.
// Names of source archives are ambiguous where a project's name has a hyphen: without the project, the last part is the version.
func split(file, project string) (name, version string, ok bool) {
	if stem, is := strings.CutSuffix(file, ".whl"); is {
		part := strings.Split(stem, "-")
		if len(part) < 5 || len(part) > 6 {
			return "", "", false
		}
		return checked(part[0], part[1], project)
	}
	if stem, is := strings.CutSuffix(file, ".egg"); is {
		part := strings.Split(stem, "-")
		if len(part) < 2 {
			return "", "", false
		}
		return checked(part[0], part[1], project)
	}
	for _, ending := range archives {
		stem, is := strings.CutSuffix(file, ending)
		if !is {
			continue
		}
		for i := len(stem) - 1; i >= 0; i-- {
			if stem[i] != '-' {
				continue
			}
			if name, version, ok = checked(stem[:i], stem[i+1:], project); ok {
				return name, version, true
			}
		}
	}
	return "", "", false
}

func checked(name, version, project string) (string, string, bool) {
	name = normal(name)
	return name, version, goodProject().MatchString(name) && goodVersion().MatchString(version) && (project == "" || name == project)
}

// asked returns the project that a request for an index is about, in its normal form.
func asked(r ecosystem.Request) string {
	plain, err := url.PathUnescape(r.Path)
	if err != nil {
		return ""
	}
	return normal(path.Base(strings.TrimRight(plain, "/")))
}

// Date implements ecosystem.Dater, for indexes in HTML, which have no dates: the registry may have the index in JSON.
func (a Adapter) Date(r ecosystem.Request, version string) (ecosystem.Request, func(http.Header, []byte) time.Time, bool) {
	if a.Classify(r) != ecosystem.Index || r.Variant == formJSON {
		return ecosystem.Request{}, nil, false
	}
	r.Variant = ""
	return r, func(_ http.Header, body []byte) (first time.Time) {
		p := &page{project: asked(r)}
		if p.readJSON(body, false) != nil {
			return time.Time{}
		}
		for i := range p.files {
			if _, v, ok := split(p.files[i].name, p.project); ok && v == version {
				if at := uploaded(p.files[i].uploaded); first.IsZero() || !at.IsZero() && at.Before(first) {
					first = at
				}
			}
		}
		return first
	}, true
}

func uploaded(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}
