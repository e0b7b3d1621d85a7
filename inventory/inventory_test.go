package inventory

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

func b3(s string) pir.Hash {
	sum := blake3.Sum256([]byte(s))
	return pir.NewHash(pir.B3, sum[:])
}

func sha256Of(b byte) string { return "sha256-" + strings.Repeat(fmt.Sprintf("%02x", b), 32) }

// A memory is a Store of what the test puts in.
type memory struct {
	pirs       map[pir.PID]*pir.PIR
	origins    map[pir.PID]nuon.Record
	recordings map[pir.PID]string
	contents   map[pir.PID]map[string]string
}

func newMemory() *memory {
	return &memory{map[pir.PID]*pir.PIR{}, map[pir.PID]nuon.Record{}, map[pir.PID]string{}, map[pir.PID]map[string]string{}}
}

func (m *memory) add(t *testing.T, p *pir.PIR, origin nuon.Record) pir.PID {
	t.Helper()
	text, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	id := pir.Sum(text)
	m.pirs[id], m.origins[id] = p, origin
	return id
}

// fetch adds a fetch with an origin.
func (m *memory) fetch(t *testing.T, n byte, origin nuon.Record) pir.PID {
	t.Helper()
	h, err := pir.ParseHash(sha256Of(n))
	if err != nil {
		t.Fatal(err)
	}
	return m.add(t, &pir.PIR{Kind: pir.Fetch, Hash: h, Unpack: pir.UnpackFile}, origin)
}

// record adds a recording.
func (m *memory) record(t *testing.T, r *ecosystem.Recording) pir.PID {
	t.Helper()
	text, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	self := m.add(t, &pir.PIR{Kind: pir.Fetch, Hash: b3(string(text)), Unpack: pir.UnpackFile}, nil)
	id := m.add(t, &pir.PIR{Kind: pir.Env, Name: "recording", Layout: pir.LayoutFiles1, Packages: map[string]pir.PID{"recording.nuon": self}}, nil)
	m.recordings[id] = string(text)
	return id
}

func (m *memory) Describe(id pir.PID) ([]byte, [][]byte, error) {
	p := m.pirs[id]
	if p == nil {
		return nil, nil, ErrAbsent
	}
	text, err := p.Encode()
	if err != nil || m.origins[id] == nil {
		return text, nil, err
	}
	origin, err := nuon.Encode(m.origins[id])
	return text, [][]byte{origin}, err
}

func (m *memory) Recording(_ context.Context, id pir.PID) ([]byte, error) {
	if text, ok := m.recordings[id]; ok {
		return []byte(text), nil
	}
	return nil, ErrAbsent
}

type memoryFile struct{ *bytes.Reader }

func (memoryFile) Close() error { return nil }

func (m *memory) Content(_ context.Context, id pir.PID) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		files, ok := m.contents[id]
		if !ok {
			yield(Entry{}, ErrAbsent)
			return
		}
		for path, text := range files {
			open := func() (OpenFile, error) { return memoryFile{bytes.NewReader([]byte(text))}, nil }
			if !yield(Entry{Path: path, Size: int64(len(text)), Exec: strings.HasPrefix(path, "bin/"), Open: open}, nil) {
				return
			}
		}
	}
}

func kept(alias, path, name, version, license string) ecosystem.Answer {
	return ecosystem.Answer{Request: ecosystem.Request{Alias: alias, Path: path}, Status: 200, Kept: &ecosystem.Kept{
		Hash: b3(path), Size: int64(len(path)), Package: name, Version: version, License: license, Promised: sha256Of(7), Released: "2026-01-31",
		Origin: nuon.Record{"kind": alias, "name": name, "version": version},
	}}
}

var linux = pir.Platform{OS: "linux", CPU: "x86_64", Libc: "gnu"}

// sample returns a Python application with a runtime of Debian packages, a C package and a source, and a build tool that is not part of it.
func sample(t *testing.T) (*memory, pir.PID) {
	m := newMemory()
	deb := func(n byte, name, version string) pir.PID {
		return m.fetch(t, n, nuon.Record{"kind": "deb", "name": name, "version": version, "arch": "amd64", "path": "pool/main/" + name + ".deb"})
	}
	runtime := m.add(t, &pir.PIR{Kind: pir.Env, Name: "python", Version: "13", Layout: pir.LayoutFHS1, Platform: linux,
		Packages: map[string]pir.PID{"libc6": deb(1, "libc6", "2.41-12+deb13u1"), "python3": deb(2, "python3.13", "3.13.5-2")}}, nil)
	zlib := m.add(t, &pir.PIR{Kind: pir.Build, Name: "zlib", Version: "1.3.1", Policy: nuon.Record{"license": "Zlib"},
		Src: pir.Src{One: m.fetch(t, 3, nuon.Record{"kind": "url", "url": "https://user:pass@example.org/zlib-1.3.1.tar.gz"})}, Build: nuon.Record{"nu": "x"}}, nil)
	recording := m.record(t, &ecosystem.Recording{Ecosystem: "pip", Door: ecosystem.DoorRegistry, Answers: []ecosystem.Answer{
		kept("pypi", "/f/Tool_Kit-1.0-py3-none-any.whl", "tool-kit", "1.0", "mit OR apache-2.0"),
		kept("pypi", "/f/Tool_Kit-1.0-py3-none-any.whl.metadata", "tool-kit", "1.0", ""),
		kept("pypi", "/f/odd-2.tar.gz", "odd", "2", "Ask the author; she is nice"),
		kept("pypi", "/f/setuptools-80.0-py3-none-any.whl", "setuptools", "80.0", "MIT"),
		{Request: ecosystem.Request{Alias: "pypi", Path: "/simple/odd/"}, Status: 200, Type: "application/json", Text: "{}"},
	}})
	app := m.add(t, &pir.PIR{Kind: pir.Native, Name: "app", Version: "1.0", Platform: linux, Runtime: runtime, Recording: recording,
		Packages: map[string]pir.PID{"zlib": zlib}, Src: pir.Src{Named: map[string]pir.PID{"main": m.fetch(t, 4, nuon.Record{"kind": "git", "url": "https://example.org/app.git", "rev": "v1"})}},
		Policy: nuon.Record{"license": "BSD-3-Clause"}, Build: nuon.Record{"nu": "x"}}, nil)
	m.contents[app] = map[string]string{
		"lib/python3/site-packages/tool_kit-1.0.dist-info/METADATA": "Metadata-Version: 2.4\nName: Tool_Kit\nVersion: 1.0\n\nA tool.\nName: other\n",
		"lib/python3/site-packages/odd-2.dist-info/METADATA":        "Metadata-Version: 2.1\nName: odd\nVersion: 2\nLicense: x\n",
		"lib/python3/site-packages/vendored-3.egg-info/PKG-INFO":    "Name: vendored\nVersion: 3\nClassifier: License :: OSI Approved :: MIT License\n",
	}
	return m, app
}

func collect(t *testing.T, m *memory, id pir.PID, o *Options) *Inventory {
	t.Helper()
	got, err := Collect(t.Context(), m, id, o)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func lines(i *Inventory) (out []string) {
	for n := range i.Parts {
		p := &i.Parts[n]
		out = append(out, strings.TrimRight(fmt.Sprintf("%s: %s %d %s", p.Where, p.PURL, len(p.Files), p.Seen), " "))
	}
	return out
}

func TestCollect(t *testing.T) {
	m, app := sample(t)
	got := collect(t, m, app, nil)
	want := []string{
		"language package: pkg:pypi/odd@2 1 installed",
		"language package: pkg:pypi/setuptools@80.0 1 fetched",
		"language package: pkg:pypi/tool-kit@1.0 2 installed",
		"language package: pkg:pypi/vendored@3 0 installed",
		"package: pkg:generic/zlib@1.3.1 0",
		"runtime: pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?arch=amd64 1",
		"runtime: pkg:deb/debian/python3.13@3.13.5-2?arch=amd64 1",
		"runtime: pkg:generic/python@13 0",
		"source: pkg:generic/app@v1?vcs_url=git%2Bhttps:%2F%2Fexample.org%2Fapp.git%40v1 1",
		"source: pkg:generic/zlib-1.3.1.tar.gz?download_url=https:%2F%2Fexample.org%2Fzlib-1.3.1.tar.gz 1",
	}
	if d := cmp.Diff(want, lines(got)); d != "" || len(got.Missing) > 0 || got.Root.Name != "app" {
		t.Errorf("root %q, missing %q (-want +got)\n%s", got.Root.Name, got.Missing, d)
	}
	if d := cmp.Diff(want[:4], lines(collect(t, m, app, &Options{Own: true}))); d != "" {
		t.Errorf("own (-want +got)\n%s", d)
	}
	tool := got.Parts[2]
	if f := tool.Files[0]; f.Name != "Tool_Kit-1.0-py3-none-any.whl" || cmp.Diff(f.Hashes, []string{"sha256:" + strings.Repeat("07", 32)}) != "" {
		t.Errorf("main file: got %+v", f)
	}
	if got.Parts[3].License != "MIT License" {
		t.Errorf("license from the content: got %q", got.Parts[3].License)
	}
}

// What is not on the node makes the inventory incomplete, and it says so. Without content, nothing is said about what was installed.
func TestIncomplete(t *testing.T) {
	m, app := sample(t)
	delete(m.contents, app)
	runtime := m.pirs[app].Runtime
	delete(m.pirs, runtime)
	got := collect(t, m, app, nil)
	if text := strings.Join(got.Missing, "\n"); len(got.Missing) != 2 || !strings.Contains(text, "description of "+runtime.String()) || !strings.Contains(text, "content of app") {
		t.Errorf("missing: got %q", got.Missing)
	}
	for _, p := range got.Parts {
		if p.Seen != Unknown {
			t.Errorf("%s: seen as %s without content", p.Name, p.Seen)
		}
	}
	delete(m.recordings, m.pirs[app].Recording)
	if got := collect(t, m, app, nil); len(got.Missing) != 3 {
		t.Errorf("missing without recording: got %q", got.Missing)
	}
	for _, f := range Formats() {
		if text := write(t, got, f, time.Time{}); !strings.Contains(text, "not on this node") {
			t.Errorf("%s does not say that it is not whole", f)
		}
	}
}

func write(t *testing.T, i *Inventory, f Format, at time.Time) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, i, f, &WriteOptions{Tool: "nuka-0", Created: at}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestGolden compares both formats with frozen files. NUKA_REWRITE=1 writes them anew.
func TestGolden(t *testing.T) {
	m, app := sample(t)
	for _, f := range Formats() {
		name := "testdata/sample." + string(f) + ".json"
		got := write(t, collect(t, m, app, nil), f, time.Time{})
		if os.Getenv("NUKA_REWRITE") != "" {
			if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Errorf("%s (-want +got)\n%s", f, d)
		}
		check(t, f, got)
		if at := write(t, collect(t, m, app, nil), f, time.Unix(1e9, 0)); at == got || !strings.Contains(at, "2001-09-09T01:46:40Z") {
			t.Errorf("%s does not have the time that it was given", f)
		}
	}
}

// check checks what the schemas of the formats require: fields that must be there, identifiers that are unique and lead somewhere, forms of texts.
func check(t *testing.T, f Format, text string) {
	t.Helper()
	if f == CycloneDX {
		checkCycloneDX(t, text)
		return
	}
	checkSPDX(t, text)
}

func checkCycloneDX(t *testing.T, text string) {
	t.Helper()
	var doc struct {
		BomFormat, SpecVersion, SerialNumber string
		Version                              int
		Metadata                             struct{ Component cdxComponent }
		Components                           []cdxComponent
		Dependencies                         []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	serial := regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	if doc.BomFormat != "CycloneDX" || doc.SpecVersion != "1.6" || doc.Version != 1 || !serial.MatchString(doc.SerialNumber) {
		t.Errorf("header: %s %s %d %s", doc.BomFormat, doc.SpecVersion, doc.Version, doc.SerialNumber)
	}
	refs := map[string]bool{}
	for _, c := range append(doc.Components, doc.Metadata.Component) {
		c.check(t)
		if c.Ref == "" || refs[c.Ref] {
			t.Errorf("%s: its reference %q is there twice, or empty", c.Name, c.Ref)
		}
		refs[c.Ref] = true
	}
	of := map[string]bool{}
	for _, d := range doc.Dependencies {
		if !refs[d.Ref] || of[d.Ref] {
			t.Errorf("dependencies of %q: there twice, or of nothing", d.Ref)
		}
		of[d.Ref] = true
		for _, on := range d.DependsOn {
			if !refs[on] {
				t.Errorf("%s depends on %s, which is not there", d.Ref, on)
			}
		}
	}
}

type cdxComponent struct {
	Type, Name string
	Ref        string `json:"bom-ref"`
	Hashes     []struct{ Alg, Content string }
	Licenses   []struct {
		Expression string
		License    *struct{ ID, Name string }
	}
	Components []cdxComponent
}

func (c *cdxComponent) check(t *testing.T) {
	t.Helper()
	if c.Name == "" || c.Type != "library" && c.Type != "application" && c.Type != "file" {
		t.Errorf("component %q of type %q", c.Name, c.Type)
	}
	for _, h := range c.Hashes {
		if n := map[string]int{"MD5": 32, "SHA-1": 40, "SHA-256": 64, "SHA-384": 96, "SHA-512": 128}[h.Alg]; len(h.Content) != n {
			t.Errorf("%s: hash %s %s", c.Name, h.Alg, h.Content)
		}
	}
	for _, l := range c.Licenses {
		if (l.Expression == "") == (l.License == nil) || len(c.Licenses) != 1 || l.License != nil && l.License.Name == "" {
			t.Errorf("%s: license %+v", c.Name, l)
		}
	}
	for i := range c.Components {
		c.Components[i].check(t)
	}
}

var (
	goodLicense = regexp.MustCompile(`^LicenseRef-[A-Za-z0-9.-]+$`)
	goodID      = regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`)
)

func checkSPDX(t *testing.T, text string) {
	t.Helper()
	var doc struct {
		SPDXVersion, DataLicense, SPDXID, Name, DocumentNamespace string
		CreationInfo                                              struct {
			Created  string
			Creators []string
		}
		Packages []struct {
			SPDXID, Name, DownloadLocation, LicenseDeclared string
			FilesAnalyzed                                   *bool
		}
		HasExtractedLicensingInfos []struct{ LicenseID, ExtractedText string }
		Relationships              []struct{ SpdxElementID, RelatedSpdxElement, RelationshipType string }
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.SPDXVersion != "SPDX-2.3" || doc.DataLicense != "CC0-1.0" || doc.SPDXID != "SPDXRef-DOCUMENT" || doc.Name == "" || !strings.HasPrefix(doc.DocumentNamespace, "urn:uuid:") ||
		len(doc.CreationInfo.Creators) != 1 || doc.CreationInfo.Creators[0] != "Tool: nuka-0" {
		t.Errorf("header: %+v", doc.CreationInfo)
	}
	if _, err := time.Parse("2006-01-02T15:04:05Z", doc.CreationInfo.Created); err != nil {
		t.Error(err)
	}
	extracted, ids := map[string]bool{}, map[string]bool{"SPDXRef-DOCUMENT": true}
	for _, l := range doc.HasExtractedLicensingInfos {
		if extracted[l.LicenseID] || !goodLicense.MatchString(l.LicenseID) || l.ExtractedText == "" {
			t.Errorf("license %+v is there twice, or wrong", l)
		}
		extracted[l.LicenseID] = true
	}
	for _, p := range doc.Packages {
		if ids[p.SPDXID] || !goodID.MatchString(p.SPDXID) || p.Name == "" || p.DownloadLocation == "" || p.FilesAnalyzed == nil || *p.FilesAnalyzed {
			t.Errorf("package %+v is there twice, or wrong", p)
		}
		ids[p.SPDXID] = true
		if strings.HasPrefix(p.LicenseDeclared, "LicenseRef-") && !extracted[p.LicenseDeclared] || p.LicenseDeclared == "" {
			t.Errorf("%s: license %q is nowhere", p.Name, p.LicenseDeclared)
		}
	}
	described := false
	for _, r := range doc.Relationships {
		if !ids[r.SpdxElementID] || !ids[r.RelatedSpdxElement] {
			t.Errorf("relationship %+v leads nowhere", r)
		}
		described = described || r.RelationshipType == "DESCRIBES" && r.RelatedSpdxElement == "SPDXRef-root"
	}
	if !described {
		t.Error("the document describes nothing")
	}
}
