package maven

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/protocol"
)

func invalid(r ecosystem.Request, format string, args ...any) error {
	return protocol.Errorf(protocol.Invalid, "maven repository: its answer to %.200q is wrong: %s", r.Path, fmt.Sprintf(format, args...)).
		WithHint("check that the address of the repository is right, and that no portal answers for it")
}

// A metadata is maven-metadata.xml (maven.apache.org/ref/current/maven-repository-metadata), as far as it is read here.
type metadata struct {
	group, artifact string
	versions        []span // of versioning/versions
	latest, release span
}

// A span is an element of text, with its place in a document.
type span struct {
	text       string
	start, end int64 // of the whole element
}

const (
	maxDepth    = 32
	maxVersions = 1 << 18
)

// parseMetadata reads metadata and remembers the places of versions. It refuses a document type, because entities are defined there.
func parseMetadata(body []byte) (m metadata, err error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	d.CharsetReader = func(charset string, in io.Reader) (io.Reader, error) {
		if charset = strings.ToLower(charset); charset == "us-ascii" || charset == "utf8" {
			return in, nil
		}
		return nil, fmt.Errorf("the encoding %.40q is not supported", charset)
	}
	var at []string // the open elements
	var starts []int64
	var text strings.Builder
	for {
		before := d.InputOffset()
		token, err := d.Token()
		if err == io.EOF {
			break
		} else if err != nil {
			return m, err
		}
		switch token := token.(type) {
		case xml.Directive:
			return m, fmt.Errorf("it has a document type")
		case xml.StartElement:
			if len(at) == maxDepth {
				return m, fmt.Errorf("its elements are nested deeper than %d", maxDepth)
			}
			text.Reset()
			if at, starts = append(at, token.Name.Local), append(starts, before); len(at) == 1 && at[0] != "metadata" {
				return m, fmt.Errorf("its root is %.40q", at[0])
			}
		case xml.CharData:
			text.Write(token)
		case xml.EndElement:
			s := span{strings.TrimSpace(text.String()), starts[len(starts)-1], d.InputOffset()}
			switch strings.Join(at, "/") {
			case "metadata/groupId":
				m.group = s.text
			case "metadata/artifactId":
				m.artifact = s.text
			case "metadata/versioning/latest":
				m.latest = s
			case "metadata/versioning/release":
				m.release = s
			case "metadata/versioning/versions/version":
				if !isVersion(s.text) || len(m.versions) == maxVersions {
					return m, fmt.Errorf("%.100q is no version, or one too many", s.text)
				}
				m.versions = append(m.versions, s)
			}
			text.Reset()
			at, starts = at[:len(at)-1], starts[:len(starts)-1]
		}
	}
	if m.group == "" && m.artifact == "" && !bytes.Contains(body, []byte("<metadata")) {
		return m, fmt.Errorf("it is empty")
	}
	return m, nil
}

// read reads metadata and checks that it is of the artifact, its group, or its snapshot that was asked for.
func read(r ecosystem.Request, body []byte) (m metadata, name string, err error) {
	if m, err = parseMetadata(body); err != nil {
		return m, "", invalid(r, "%v", err)
	}
	text, err := url.PathUnescape(strings.TrimSuffix(r.Path, "/"+index))
	if err != nil {
		return m, "", invalid(r, "%v", err)
	}
	folder := strings.Trim(text, "/")
	if m.artifact == "" {
		if len(m.versions) > 0 {
			return m, "", invalid(r, "it has versions of no artifact")
		}
		return m, "", nil // of a group, with its plugins
	}
	if !isID(m.group) || !isID(m.artifact) {
		return m, "", invalid(r, "it names %.100q:%.100q", m.group, m.artifact)
	}
	own := strings.ReplaceAll(m.group, ".", "/") + "/" + m.artifact
	parent := folder[:max(strings.LastIndexByte(folder, '/'), 0)]
	if !below(folder, own) && (!below(parent, own) || !strings.HasSuffix(folder, "-SNAPSHOT")) {
		return m, "", invalid(r, "it is of %s:%s", m.group, m.artifact)
	}
	return m, m.group + ":" + m.artifact, nil
}

// below reports whether a folder is own, or own below the path of a repository.
func below(folder, own string) bool { return folder == own || strings.HasSuffix(folder, "/"+own) }

// Read implements ecosystem.Adapter. The files stand for versions: they have Package and Version only.
func (Adapter) Read(r ecosystem.Request, _, _ string, body []byte, _ func(string) ecosystem.Request) ([]ecosystem.File, error) {
	m, name, err := read(r, body)
	if err != nil {
		return nil, err
	}
	var files []ecosystem.File
	seen := map[string]bool{}
	for _, v := range m.versions {
		if !seen[v.text] {
			files = append(files, ecosystem.File{Package: name, Version: v.text})
		}
		seen[v.text] = true
	}
	return files, nil
}

// Change implements ecosystem.Adapter. It cuts the versions out, and leaves the rest as it is. The newest version and release, if they are cut, become the last
// ones of the list that are kept, which has the versions in order.
func (Adapter) Change(r ecosystem.Request, _, _ string, body []byte, _ func(string) ecosystem.Request, e *ecosystem.Edit) ([]byte, int, error) {
	m, name, err := read(r, body)
	if err != nil || e.Keep == nil {
		return body, 0, err
	}
	latest, release := "", ""
	type edit struct {
		span
		with string
	}
	var edits []edit
	dropped := map[string]bool{}
	for _, v := range m.versions {
		if !e.Keep(&ecosystem.File{Package: name, Version: v.text}) {
			edits = append(edits, edit{span: v})
			dropped[v.text] = true
			continue
		}
		latest = v.text
		if !strings.HasSuffix(v.text, "-SNAPSHOT") {
			release = v.text
		}
	}
	for _, tag := range []struct {
		span
		name, now string
	}{{m.latest, "latest", latest}, {m.release, "release", release}} {
		if tag.text != "" && dropped[tag.text] {
			with := ""
			if tag.now != "" {
				with = "<" + tag.name + ">" + tag.now + "</" + tag.name + ">"
			}
			edits = append(edits, edit{tag.span, with})
		}
	}
	slices.SortFunc(edits, func(a, b edit) int { return int(a.start - b.start) })
	var out []byte
	last := int64(0)
	for _, x := range edits {
		out = append(append(out, body[last:x.start]...), x.with...)
		last = x.end
	}
	return append(out, body[last:]...), len(dropped), nil
}
