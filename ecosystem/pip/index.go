package pip

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/internal/rawjson"
	"github.com/MordragT/nuka/pir"
)

// An entry is a file in an index.
type entry struct {
	name     string
	address  string
	hashes   map[string]string
	size     int64
	uploaded string
	proved   string            // the address of its attestations (PEP 740)
	metadata []json.RawMessage // core-metadata, and its name before PEP 714
	notice   string            // PEP 592
}

// entryOf reads an entry. Names of fields are compared as clients compare them, which encoding/json does not do for structs: there, "URL" would be "url".
func entryOf(raw map[string]json.RawMessage) (e entry, err error) {
	for _, f := range []struct {
		name string
		to   *string
	}{{"filename", &e.name}, {"url", &e.address}, {"upload-time", &e.uploaded}, {"provenance", &e.proved}} {
		if text := raw[f.name]; text != nil {
			if *f.to, err = rawjson.Text(text); err != nil {
				return e, fmt.Errorf("%s: %w", f.name, err)
			}
		}
	}
	if text := raw["size"]; text != nil {
		if err := json.Unmarshal(text, &e.size); err != nil {
			return e, fmt.Errorf("size: %w", err)
		}
	}
	if e.hashes, err = texts(raw["hashes"]); err != nil {
		return e, fmt.Errorf("hashes: %w", err)
	}
	e.metadata = []json.RawMessage{raw["core-metadata"], raw["dist-info-metadata"]}
	if yanked := raw["yanked"]; len(yanked) > 0 && (yanked[0] == 't' || yanked[0] == '"') { // another type says nothing
		if why, err := rawjson.Text(yanked); err != nil || why != "" {
			e.notice = ecosystem.NoticeOf(ecosystem.Yanked, why)
		}
	}
	return e, nil
}

// nameOf reads name and address of an entry.
func nameOf(raw map[string]json.RawMessage) (e entry, err error) {
	if e.name, err = rawjson.Text(orNull(raw["filename"])); err != nil {
		return e, fmt.Errorf("filename: %w", err)
	}
	if e.address, err = rawjson.Text(orNull(raw["url"])); err != nil {
		return e, fmt.Errorf("url: %w", err)
	}
	return e, nil
}

func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}

// entry returns the whole entry with a number.
func (p *page) entry(i int) (*entry, error) {
	if p.raw == nil {
		return &p.files[i], nil
	}
	e, err := entryOf(p.raw[i])
	return &e, err
}

// A page is an index in either form.
type page struct {
	project string
	files   []entry
	// The JSON form, for edits; nil for HTML.
	top map[string]json.RawMessage
	raw []map[string]json.RawMessage // of files
	// The HTML form, for edits.
	links []link
}

// read reads an index of the project that r asks for. again says that it was read before: JSON is not checked once more then, and its entries have names and addresses only.
func read(r ecosystem.Request, base string, body []byte, again bool) (*page, error) {
	p := &page{project: asked(r)}
	if !goodProject().MatchString(p.project) {
		return nil, fmt.Errorf("%q is not the name of a project; a list of all projects is not recorded", p.project)
	}
	err := errors.New("it is neither JSON nor HTML")
	if trimmed := bytes.TrimSpace(body); bytes.HasPrefix(trimmed, []byte("{")) {
		err = p.readJSON(trimmed, again)
	} else if bytes.HasPrefix(trimmed, []byte("<")) {
		err = p.readHTML(base, body)
	}
	if err != nil {
		return nil, err
	}
	return p, p.belongs()
}

// belongs returns an error if the files are those of another project. Single source archives with unusual names are no error: clients leave them out.
func (p *page) belongs() error {
	stranger := ""
	for i := range p.files {
		name := p.files[i].name
		if _, _, ok := split(name, p.project); ok {
			return nil
		}
		if other, _, ok := split(name, ""); ok {
			stranger = fmt.Sprintf("%s, a file of %s", name, other)
		}
	}
	if stranger != "" {
		return fmt.Errorf("it is the index of %s, and names %.200s", p.project, stranger)
	}
	return nil
}

func (p *page) readJSON(body []byte, again bool) error {
	if !again && !json.Valid(body) {
		return json.Unmarshal(body, &p.top) // for its error
	}
	var err error
	if p.top, err = members(body); err != nil {
		return err
	}
	if p.top["meta"] == nil || p.top["files"] == nil {
		return errors.New("it has no meta or no files, so it is no index (PEP 691)")
	}
	name := ""
	if err := json.Unmarshal(p.top["name"], &name); err != nil || normal(name) != p.project {
		return fmt.Errorf("it is the index of %.100q, and that of %s was asked for", name, p.project)
	}
	return rawjson.Array(p.top["files"], func(value []byte) error {
		raw, err := members(value)
		if err != nil {
			return err
		}
		read := entryOf
		if again {
			read = nameOf
		}
		e, err := read(raw)
		p.raw, p.files = append(p.raw, raw), append(p.files, e)
		return err
	})
}

// Read implements ecosystem.Adapter. Files whose names no client understands are left out.
func (Adapter) Read(r ecosystem.Request, base, _ string, body []byte, request func(string) ecosystem.Request) ([]ecosystem.File, error) {
	p, err := read(r, base, body, false)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	var out []ecosystem.File
	for i := range p.files {
		files, err := p.describe(&p.files[i], at, request)
		if err != nil {
			return nil, err
		}
		out = append(out, files...)
	}
	return out, nil
}

// describe returns the files of an entry: itself, and its metadata. It returns none if the entry has no name that belongs to a project.
func (p *page) describe(e *entry, base *url.URL, request func(string) ecosystem.Request) ([]ecosystem.File, error) {
	project, version, ok := split(e.name, p.project)
	if !ok {
		if other, _, ok := split(e.name, ""); ok && strings.HasSuffix(e.name, ".whl") {
			return nil, fmt.Errorf("it is the index of %s, and names a file of %s: %.200q", p.project, other, e.name)
		}
		return nil, nil
	}
	u, err := base.Parse(strings.TrimSpace(e.address))
	if err != nil {
		return nil, fmt.Errorf("the address of %.200q: %w", e.name, err)
	}
	var signed *ecosystem.Signed
	if p, err := base.Parse(e.proved); err == nil && e.proved != "" {
		if q := request(p.String()); q.Alias != "" {
			signed = &ecosystem.Signed{Provenance: q}
		}
	}
	fragment := u.Fragment
	u.Fragment, u.RawFragment = "", ""
	f := ecosystem.File{Request: request(u.String()), Package: project, Version: version, Name: e.name, Size: e.size, Released: uploaded(e.uploaded), Notice: e.notice,
		Signed: signed, Origin: originOf(project, version, e.name)}
	hashes := e.hashes
	if algorithm, digest, ok := strings.Cut(fragment, "="); ok && hashes == nil {
		hashes = map[string]string{algorithm: digest}
	}
	if f.Promised, f.Weak, err = promise(hashes); err != nil {
		return nil, fmt.Errorf("%.200q: %w", e.name, err)
	}
	out := []ecosystem.File{f}
	metadata, has := metadataHashes(e)
	if !has {
		return out, nil
	}
	u.Path, u.RawPath = u.Path+".metadata", addMetadata(u.RawPath)
	m := ecosystem.File{Request: request(u.String()), Package: project, Version: version, Name: e.name + ".metadata", Released: f.Released, Notice: e.notice,
		Origin: originOf(project, version, e.name+".metadata")}
	if m.Promised, m.Weak, err = promise(metadata); err != nil {
		return nil, fmt.Errorf("the metadata of %.200q: %w", e.name, err)
	}
	return append(out, m), nil
}

func addMetadata(rawPath string) string {
	if rawPath == "" {
		return ""
	}
	return rawPath + ".metadata"
}

// metadataHashes returns the hashes of an entry's metadata, if it has some (PEP 658, 714).
func metadataHashes(e *entry) (hashes map[string]string, has bool) {
	for _, raw := range e.metadata {
		if raw == nil {
			continue
		}
		if hashes, err := texts(raw); err == nil && len(hashes) > 0 {
			return hashes, true
		}
		if json.Unmarshal(raw, &has) == nil && has {
			return nil, true
		}
	}
	return nil, false
}

// promise returns the best hash of those that an index has of a file.
func promise(hashes map[string]string) (pir.Hash, string, error) {
	for _, algorithm := range []string{"sha256", "sha512"} {
		if digest := hashes[algorithm]; digest != "" {
			h, err := pir.ParseHash(algorithm + ":" + digest)
			return h, "", err
		}
	}
	for _, algorithm := range []string{"sha384", "sha224", "sha1", "md5"} {
		if digest := hashes[algorithm]; digest != "" {
			return pir.Hash{}, algorithm + ":" + strings.ToLower(digest), nil
		}
	}
	return pir.Hash{}, "", nil
}

// leanFile and leanTop are what pip and uv read.
var (
	leanFile = []string{"filename", "url", "hashes", "requires-python", "core-metadata", "dist-info-metadata", "yanked", "size", "upload-time"}
	leanTop  = []string{"meta", "name", "files", "versions", "project-status"}
)

// Change implements ecosystem.Adapter.
func (a Adapter) Change(r ecosystem.Request, base, _ string, body []byte, request func(string) ecosystem.Request, e *ecosystem.Edit) ([]byte, int, error) {
	p, err := read(r, base, body, true)
	if err != nil {
		return nil, 0, err
	}
	at, err := url.Parse(base)
	if err != nil {
		return nil, 0, err
	}
	gone, left := map[string]bool{}, map[string]bool{}
	keep := make([]bool, len(p.files))
	for i := range p.files {
		if e.Keep == nil && !e.Lean { // nothing is dropped
			keep[i] = true
			continue
		}
		if e.Version != nil {
			if project, version, ok := split(p.files[i].name, p.project); ok && !e.Version(project, version) {
				gone[version] = true
				continue
			}
		}
		one, err := p.entry(i)
		if err != nil {
			return nil, 0, err
		}
		files, err := p.describe(one, at, request)
		if err != nil {
			return nil, 0, err
		}
		if len(files) == 0 {
			keep[i] = !e.Lean
			continue
		}
		keep[i] = e.Keep == nil || e.Keep(&files[0])
		if keep[i] {
			left[files[0].Version] = true
		} else {
			gone[files[0].Version] = true
		}
	}
	for v := range left {
		delete(gone, v)
	}
	if p.top == nil {
		return p.writeHTML(at, keep, e), len(gone), nil
	}
	out, err := p.writeJSON(at, keep, left, e)
	return out, len(gone), err
}

// writeJSON writes the edited index, one file on each line.
func (p *page) writeJSON(base *url.URL, keep []bool, left map[string]bool, e *ecosystem.Edit) ([]byte, error) {
	var files bytes.Buffer
	files.WriteByte('[')
	for i, raw := range p.raw {
		if !keep[i] {
			continue
		}
		if e.Address != nil {
			address, err := json.Marshal(newAddress(base, p.files[i].address, e.Address))
			if err != nil {
				return nil, err
			}
			raw["url"] = address
			provenance := ""
			if json.Unmarshal(raw["provenance"], &provenance) == nil && provenance != "" { // PEP 740
				if raw["provenance"], err = json.Marshal(newAddress(base, provenance, e.Address)); err != nil {
					return nil, err
				}
			}
		}
		if e.Lean {
			only(raw, leanFile)
		}
		if files.Len() > 1 {
			files.WriteByte(',')
		}
		files.WriteByte('\n')
		if err := writeRecord(&files, raw); err != nil {
			return nil, err
		}
	}
	files.WriteString("\n]")
	if e.Lean {
		only(p.top, leanTop)
		var meta map[string]json.RawMessage
		if err := json.Unmarshal(p.top["meta"], &meta); err != nil {
			return nil, err
		}
		only(meta, []string{"api-version"})
		short, err := json.Marshal(meta)
		if err != nil {
			return nil, err
		}
		p.top["meta"] = short
	}
	var versions []string
	if e.Keep != nil && json.Unmarshal(p.top["versions"], &versions) == nil {
		versions = slices.DeleteFunc(versions, func(v string) bool { return !left[v] })
		short, err := json.Marshal(append([]string{}, versions...))
		if err != nil {
			return nil, err
		}
		p.top["versions"] = short
	}
	p.top["files"] = files.Bytes()
	var out bytes.Buffer
	if err := writeRecord(&out, p.top); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// newAddress returns the edited address of a file, with its fragment.
func newAddress(base *url.URL, address string, edit func(string) string) string {
	short := strings.TrimSpace(address)
	if strings.HasPrefix(short, "https://") && !strings.Contains(short, "/.") { // nothing to resolve
		return edit(short)
	}
	u, err := base.Parse(short)
	if err != nil {
		return address
	}
	return edit(u.String())
}
