package npm

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// A packument is the record of a package, or of one version of it.
type packument struct {
	object
	name     string
	alias    string // of the registry
	single   bool   // of one version
	versions []*release
}

// A release is a version in a packument.
type release struct {
	object
	dist    object
	tarball string // absolute
	file    ecosystem.File
}

func invalid(name, format string, args ...any) error {
	return protocol.Errorf(protocol.Invalid, "npm registry: its record of %.100q is wrong: %s", name, fmt.Sprintf(format, args...)).
		WithHint("check that the address of the registry is right, and that no portal answers for it")
}

// parse reads a packument and checks that it is of the package that was asked for.
func parse(r ecosystem.Request, base string, body []byte, request func(string) ecosystem.Request) (*packument, error) {
	name, version := asked(r)
	p := &packument{alias: r.Alias}
	if bytes.IndexByte(body, '\n') >= 0 { // of a registry that writes for people
		var b bytes.Buffer
		if json.Compact(&b, body) == nil { // the next error tells what is wrong
			body = b.Bytes()
		}
	}
	if !json.Valid(body) {
		return nil, invalid(name, "%v", json.Unmarshal(body, &p.object))
	}
	if err := p.object.read(body); err != nil {
		return nil, invalid(name, "%v", err)
	}
	if p.name = p.text("name"); p.name != name || !isName(name) {
		return nil, invalid(name, "it names the package %.100q", p.name)
	}
	at, err := url.Parse(base)
	if err != nil {
		return nil, invalid(name, "its address: %v", err)
	}
	if p.single = version != ""; p.single {
		v := p.text("version")
		if isVersion(version) && v != version {
			return nil, invalid(name, "it is of version %.100q, and not of %s", v, version)
		}
		one := &release{object: p.object}
		p.versions = []*release{one}
		return p, one.read(p, v, at, request, nil)
	}
	var versions, times object
	if raw := p.get("versions"); raw == nil {
		return nil, invalid(name, "it has no versions")
	} else if err := versions.read(raw); err != nil {
		return nil, invalid(name, "versions: %v", err)
	}
	if raw := p.get("time"); raw != nil {
		if err := times.read(raw); err != nil {
			return nil, invalid(name, "time: %v", err)
		}
	}
	when := map[string]json.RawMessage{}
	for _, m := range times {
		when[m.key] = m.value
	}
	for _, m := range versions {
		one := &release{}
		if err := one.object.read(m.value); err != nil {
			return nil, invalid(name, "version %.100q: %v", m.key, err)
		}
		if err := one.read(p, m.key, at, request, when[m.key]); err != nil {
			return nil, err
		}
		p.versions = append(p.versions, one)
	}
	return p, nil
}

// read reads the file of a release.
func (v *release) read(p *packument, version string, at *url.URL, request func(string) ecosystem.Request, when json.RawMessage) error {
	wrong := func(format string, args ...any) error {
		return invalid(p.name, "version %.100q: %s", version, fmt.Sprintf(format, args...))
	}
	if !isVersion(version) {
		return wrong("it is no version")
	}
	if name := v.text("name"); name != p.name && name != "" {
		return wrong("it is of the package %.100q", name)
	}
	if own := v.text("version"); own != version {
		return wrong("it says that it is version %.100q", own)
	}
	if err := v.dist.read(v.get("dist")); err != nil {
		return wrong("dist: %v", err)
	}
	address := v.dist.text("tarball")
	u, err := at.Parse(address)
	if err != nil || address == "" || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return wrong("%.200q is no address of a file", address)
	}
	v.tarball = u.String()
	v.file = ecosystem.File{
		Request: request(v.tarball), Package: p.name, Version: version, Name: path.Base(u.Path), Released: released(when),
		License: license(v.get("license")), Origin: origin(p.name, version),
	}
	if why := v.text("deprecated"); why != "" {
		v.file.Notice = ecosystem.NoticeOf(ecosystem.Deprecated, why)
	}
	if other := (Adapter{}).Describe(v.file.Request); other != nil && !other.Same(&v.file) {
		return wrong("its file is that of %s %s", other.Package, other.Version)
	}
	if v.file.Promised, v.file.Weak, err = promise(v.dist.text("integrity"), v.dist.text("shasum")); err != nil {
		return wrong("%v", err)
	}
	v.file.Signed = v.signed(p.alias, p.name)
	return nil
}

// promise reads a text of Subresource Integrity, and a SHA-1 in hexadecimal. It returns the strongest hash of the first.
func promise(integrity, shasum string) (h pir.Hash, weak string, err error) {
	for word := range strings.FieldsSeq(integrity) {
		word, _, _ = strings.Cut(word, "?") // options
		algorithm, text, _ := strings.Cut(word, "-")
		switch algorithm {
		case "sha512", "sha256":
			one, err := pir.ParseHash(word)
			if err != nil {
				return h, "", err
			}
			if h.IsZero() || one.Algorithm == pir.SHA512 {
				h = one
			}
		case "sha1", "sha384":
			raw, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return h, "", fmt.Errorf("integrity %.100q: %v", word, err)
			}
			weak = algorithm + ":" + hex.EncodeToString(raw)
		}
	}
	if raw, err := hex.DecodeString(shasum); err != nil || len(raw) != 20 && len(raw) != 0 {
		return h, "", fmt.Errorf("shasum %.100q is no SHA-1", shasum)
	}
	if shasum != "" && !strings.HasPrefix(weak, "sha384:") {
		weak = "sha1:" + strings.ToLower(shasum)
	}
	return h, weak, nil
}

// license reads the field license, which is text, or a record in old packages.
func license(raw json.RawMessage) string {
	var text string
	var old struct{ Type string }
	if json.Unmarshal(raw, &text) != nil && json.Unmarshal(raw, &old) == nil {
		text = old.Type
	}
	if len(text) > 200 || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' }) {
		return ""
	}
	return text
}

// Read implements ecosystem.Adapter.
func (Adapter) Read(r ecosystem.Request, base, _ string, body []byte, request func(string) ecosystem.Request) ([]ecosystem.File, error) {
	p, err := parse(r, base, body, request)
	if err != nil {
		return nil, err
	}
	var files []ecosystem.File
	for _, v := range p.versions {
		files = append(files, v.file)
	}
	return files, nil
}

// What clients read of a version and of its file: npm's short form of a record, the signatures of a registry and what attestations there are.
var (
	ofVersion = []string{"name", "version", "dependencies", "optionalDependencies", "peerDependencies", "peerDependenciesMeta", "bundleDependencies",
		"bundledDependencies", "acceptDependencies", "bin", "directories", "engines", "os", "cpu", "libc", "hasInstallScript", "deprecated", "license",
		"_hasShrinkwrap", "dist"}
	ofDist = []string{"tarball", "integrity", "shasum", "signatures", "attestations"}
)

// Change implements ecosystem.Adapter. Tags of dropped versions are dropped. The tag latest, which clients need, moves to the newest version that is kept and
// is not newer than before, preferring versions that are no pre-release. A record of one version cannot be left without it: that is an error.
func (Adapter) Change(r ecosystem.Request, base, _ string, body []byte, request func(string) ecosystem.Request, e *ecosystem.Edit) ([]byte, int, error) {
	p, err := parse(r, base, body, request)
	if err != nil {
		return nil, 0, err
	}
	total := len(p.versions)
	if e.Keep != nil {
		p.versions = slices.DeleteFunc(p.versions, func(v *release) bool { return !e.Keep(&v.file) })
	}
	if p.single && len(p.versions) == 0 {
		_, version := asked(r)
		return nil, total, protocol.Errorf(protocol.NotFound, "npm registry: %s of %s is a version that was left out", version, p.name)
	}
	for _, v := range p.versions {
		v.change(e)
	}
	if p.single {
		out, err := encode(p.versions[0].object)
		return out, 0, err
	}
	versions, kept := object{}, map[string]bool{}
	for _, v := range p.versions {
		versions.add(v.file.Version, v.object)
		kept[v.file.Version] = true
	}
	p.set("versions", versions)
	p.retag(kept)
	if times := (object{}); json.Unmarshal(p.get("time"), &times) == nil {
		times = slices.DeleteFunc(times, func(m member) bool { return !kept[m.key] && (isVersion(m.key) || e.Lean) })
		p.set("time", times)
	}
	if e.Lean {
		p.keep("name", "dist-tags", "versions", "time", "modified")
	}
	out, err := encode(p.object)
	return out, total - len(p.versions), err
}

func (v *release) change(e *ecosystem.Edit) {
	if e.Lean {
		var scripts map[string]json.RawMessage
		if json.Unmarshal(v.get("scripts"), &scripts) == nil && (scripts["preinstall"] != nil || scripts["install"] != nil || scripts["postinstall"] != nil) {
			v.set("hasInstallScript", true) // as the registry computes it for its short form
		}
		v.keep(ofVersion...)
		v.dist.keep(ofDist...)
	}
	if e.Address != nil {
		v.dist.set("tarball", e.Address(v.tarball))
	}
	if e.Lean || e.Address != nil {
		v.set("dist", v.dist)
	}
}

// retag drops the tags of versions that are not kept.
func (p *packument) retag(kept map[string]bool) {
	var tags object
	if json.Unmarshal(p.get("dist-tags"), &tags) != nil {
		tags = nil
	}
	latest := tags.text("latest")
	tags = slices.DeleteFunc(tags, func(m member) bool {
		var version string
		return m.key != "latest" && (json.Unmarshal(m.value, &version) != nil || !kept[version])
	})
	if !kept[latest] {
		tags.set("latest", nil)
		if now := newest(kept, latest); now != "" {
			tags.set("latest", now)
		}
	}
	if tags == nil {
		tags = object{}
	}
	p.set("dist-tags", tags)
}

// isExact reports whether the text of a dependency is one version, and no range of them.
func isExact(version string) bool {
	return isVersion(version) && semver.IsValid("v"+version) && semver.Canonical("v"+version)+semver.Build("v"+version) == "v"+version
}

// newest returns the best of some versions for the tag latest, "" of none.
func newest(versions map[string]bool, limit string) (best string) {
	rank := func(v string) int {
		n := 0
		if semver.Prerelease("v"+v) == "" {
			n = 2
		}
		if limit == "" || semver.Compare("v"+v, "v"+limit) <= 0 {
			n++
		}
		return n
	}
	for v := range versions {
		by := rank(v) - rank(best)
		if best == "" || by > 0 || by == 0 && (semver.Compare("v"+v, "v"+best) > 0 || semver.Compare("v"+v, "v"+best) == 0 && v > best) {
			best = v
		}
	}
	return best
}
