package inventory

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/pir"
)

// program returns a native package with a recording and a content.
func program(t *testing.T, m *memory, r *ecosystem.Recording, files map[string]string) pir.PID {
	t.Helper()
	runtime := m.add(t, &pir.PIR{Kind: pir.Env, Name: "rt", Layout: pir.LayoutFHS1, Platform: linux,
		Packages: map[string]pir.PID{"x": m.fetch(t, 9, nil)}}, nil)
	p := &pir.PIR{Kind: pir.Native, Name: "app", Platform: linux, Runtime: runtime, Build: map[string]any{"nu": "x"}}
	if r != nil {
		p.Recording = m.record(t, r)
	}
	id := m.add(t, p, nil)
	if files != nil {
		m.contents[id] = files
	}
	return id
}

// Names of recordings and of contents are text: they change no other line of a document, and a document stays valid.
func TestHostileNames(t *testing.T) {
	m := newMemory()
	names := []string{"\u202egnp.exe", "a\u0085b", "../../etc", "a b?c#d&e=f", "@scope/../x", "\"}],\"x\":[{\"", strings.Repeat("n", 1000), "<script>", "%00", "\u2028", "@", "/", "a@b@c"}
	r := &ecosystem.Recording{Ecosystem: "npm", Door: ecosystem.DoorRegistry}
	for n, name := range names {
		a := kept("npm", fmt.Sprintf("/x/%04d.tgz", n), name, "1\u202e", strings.Repeat("(", 900)+" OR \u0085 ")
		r.Answers = append(r.Answers, a)
	}
	evil := "name\x1b]0;x\x07\nname"
	files := map[string]string{
		"node_modules/a/package.json":     `{"name":"evil\u001b]0;x\u0007\nline","version":"1\r\n2","license":"a\u0000b"}`,
		"node_modules/b/package.json":     `{"name":["x"],"version":"1"}`,
		"node_modules/c/package.json":     "{" + strings.Repeat("[", 100_000),
		"x/y.dist-info/METADATA":          "Name: " + evil + "\nVersion: 1\n",
		"x/z.dist-info/METADATA":          "Name: \xff\xfe\nVersion: 1\n\n",
		"x/many.dist-info/METADATA":       strings.Repeat("Classifier: License :: x\n", 10_000),
		"x/node_modules/d/package.json":   `{"name":"` + strings.Repeat("n", 5000) + `","version":"1"}`,
		"x/node_modules/big/package.json": strings.Repeat(" ", maxText+1),
	}
	got := collect(t, m, program(t, m, r, files), nil)
	if len(got.Parts) < len(names) {
		t.Errorf("got %d parts of %d", len(got.Parts), len(names))
	}
	if text := strings.Join(got.Missing, "\n"); !strings.Contains(text, "was not read") {
		t.Errorf("missing: got %q, want the file that is too large", got.Missing)
	}
	for _, p := range got.Parts {
		if p.Seen == Installed && len(p.Name) > 1<<10 {
			t.Errorf("a name of the content has %d bytes", len(p.Name))
		}
		if p.Seen == Installed && strings.ContainsAny(p.Name+p.Version+p.License, "\x1b\x07\n\r\x00") {
			t.Errorf("part %q has control characters", p.Name)
		}
	}
	for _, f := range Formats() {
		text := write(t, got, f, time.Time{})
		check(t, f, text)
		if dir := os.Getenv("NUKA_KEEP"); dir != "" { // for a validator of the schemas
			if err := os.WriteFile(dir+"/hostile."+string(f)+".json", []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if strings.ContainsAny(text, "\x1b\x07\r\x00") {
			t.Errorf("%s has control characters", f)
		}
	}
}

// A file with another name in two recordings, one package twice, and hashes of the wrong length.
func TestDuplicates(t *testing.T) {
	m := newMemory()
	one, two := kept("npm", "/a/-/a-1.tgz", "a", "1", ""), kept("npm", "/b/-/a-1.tgz", "a", "1", "MIT")
	one.Kept.Weak = "sha1:00112233"
	two.Kept.Hash, two.Kept.Promised, two.Kept.Weak = one.Kept.Hash, "", "sha1:"+strings.Repeat("ab", 20)
	got := collect(t, m, program(t, m, &ecosystem.Recording{Ecosystem: "npm", Door: ecosystem.DoorRegistry, Answers: []ecosystem.Answer{one, two}}, nil), &Options{Own: true})
	if len(got.Parts) != 1 || len(got.Parts[0].Files) != 1 || len(got.Parts[0].Files[0].Hashes) != 3 || got.Parts[0].License != "MIT" {
		t.Errorf("got %+v", got.Parts)
	}
	for _, f := range Formats() {
		check(t, f, write(t, got, f, time.Time{}))
	}
}

func TestLicenses(t *testing.T) {
	for text, want := range map[string]string{
		"MIT": "MIT", "mit": "MIT", "MIT OR Apache-2.0": "MIT OR Apache-2.0", "GPL-2.0-or-later WITH Classpath-exception-2.0": "GPL-2.0-or-later WITH Classpath-exception-2.0",
		"BSD": "", "SEE LICENSE IN x": "", "LicenseRef-x": "", "DocumentRef-a:LicenseRef-b": "", "(MIT": "", "": "", "MIT OR": "", "MIT\nMIT": "", "MIT" + strings.Repeat(" OR MIT", 200): "", strings.Repeat("(", 1<<20): "",
		strings.Repeat("(", 500) + "MIT" + strings.Repeat(")", 500): "MIT",
	} {
		if got := (&licenses{}).expression(text); got != want {
			t.Errorf("%.40q: got %q, want %q", text, got, want)
		}
	}
}

// 100,000 parts, half of them of one recording.
func TestMany(t *testing.T) {
	m := newMemory()
	r := &ecosystem.Recording{Ecosystem: "npm", Door: ecosystem.DoorRegistry}
	for n := range 50_000 { // a recording of 16 MiB has no room for more
		r.Answers = append(r.Answers, ecosystem.Answer{Request: ecosystem.Request{Alias: "npm", Path: fmt.Sprintf("/%06d.tgz", n)}, Status: 200,
			Kept: &ecosystem.Kept{Hash: b3(fmt.Sprint(n)), Package: fmt.Sprint("p", n), Version: "1", License: fmt.Sprint("text ", n)}})
	}
	got := collect(t, m, program(t, m, r, map[string]string{}), nil)
	for n := range 50_000 {
		got.Parts = append(got.Parts, Part{Where: Source, Type: "generic", Name: fmt.Sprint("s", n), Of: []pir.PID{got.Root.PID}})
	}
	for _, f := range Formats() {
		text := write(t, got, f, time.Time{})
		if f == CycloneDX {
			check(t, f, text)
		}
		if n := strings.Count(text, "pkg:npm/p"); n != 50_000 {
			t.Errorf("%s: %d of 50,000 language packages", f, n)
		}
	}
	if len(got.Parts) < 100_000 {
		t.Errorf("got %d parts", len(got.Parts))
	}
}

// An inventory ends at its bound.
func TestBounds(t *testing.T) {
	files := map[string]string{}
	for n := range maxProgs + 1 {
		files[fmt.Sprintf("bin/%d", n)] = "\x7fELF" + strings.Repeat("\xff", minProgram)
	}
	m := newMemory()
	got := collect(t, m, program(t, m, nil, files), &Options{Own: true})
	if !strings.Contains(strings.Join(got.Missing, "\n"), "large programs") {
		t.Errorf("missing: got %q", got.Missing)
	}
}

// A recording that is none is an error that names the package.
func TestNoRecording(t *testing.T) {
	m, app := sample(t)
	m.recordings[m.pirs[app].Recording] = "<html>"
	if _, err := Collect(t.Context(), m, app, nil); err == nil || !strings.Contains(err.Error(), "recording of app") {
		t.Errorf("got %v", err)
	}
}

// elfWith returns a program of one section.
func elfWith(name string, content []byte) string {
	var b bytes.Buffer
	names := "\x00" + name + "\x00.shstrtab\x00"
	at := uint64(64)
	header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64, Shentsize: 64, Shnum: 3, Shstrndx: 2,
		Shoff: at + uint64(len(content)+len(names))}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	put := func(v any) {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	put(&header)
	b.Write(content)
	b.WriteString(names)
	put(&elf.Section64{})
	put(&elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: at, Size: uint64(len(content))})
	put(&elf.Section64{Name: uint32(len(name) + 2), Type: uint32(elf.SHT_STRTAB), Off: at + uint64(len(content)), Size: uint64(len(names))})
	b.Write(make([]byte, minProgram))
	return b.String()
}

func compressed(text string) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(text)) // to memory
	_ = z.Close()
	return b.Bytes()
}

// What programs name: the crates of cargo auditable, the modules of a Go program. A bomb, and what is no list, name nothing.
func TestPrograms(t *testing.T) {
	m := newMemory()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	list := `{"packages":[{"name":"clap","version":"4.0.0","source":"registry"},{"name":"own","version":"1.0.0","source":"local"},{"name":"cc","version":"1.0.0","source":"registry","kind":"build"}]}`
	got := collect(t, m, program(t, m, nil, map[string]string{
		"bin/rust": elfWith(".dep-v0", compressed(list)), "bin/go": string(own), "bin/bomb": elfWith(".dep-v0", compressed(strings.Repeat(" ", maxAudit+1)+strings.ReplaceAll(list, "clap", "bomb"))),
		"bin/junk": elfWith(".dep-v0", []byte("x")), "bin/cut": elfWith(".dep-v0", compressed(list))[:minProgram+50],
	}), &Options{Own: true})
	text := "\n" + strings.Join(lines(got), "\n") + "\n"
	for _, want := range []string{"pkg:cargo/clap@4.0.0 0 installed", "pkg:golang/stdlib@1."} {
		if !strings.Contains(text, want) {
			t.Errorf("got %s, want %s", text, want)
		}
	}
	if strings.Contains(text, "/cc@") || strings.Contains(text, "/own@") || strings.Contains(text, "bomb") {
		t.Errorf("got what is not in the program: %s", text)
	}
}

// Modules of a Go program: with those that replace others, and without the project and folders beside it.
func TestModules(t *testing.T) {
	info, err := debug.ParseBuildInfo("go\tgo1.26.1 X:exp\npath\texample.org/app\nmod\texample.org/app\t(devel)\t\ndep\texample.org/a\tv1.0.0\th1:x\n" +
		"dep\texample.org/b\tv1.0.0\n=>\texample.org/fork\tv2.0.0\th1:x\ndep\texample.org/c\tv1.0.0\n=>\t./c\t\t\n")
	if err != nil {
		t.Fatal(err)
	}
	info.GoVersion = "go1.26.1 X:exp"
	c := &content{kinds: map[string]bool{}}
	c.golang(info)
	got := lines(&Inventory{Parts: c.parts.parts()})
	want := []string{"language package: pkg:golang/example.org/a@v1.0.0 0 installed", "language package: pkg:golang/example.org/fork@v2.0.0 0 installed",
		"language package: pkg:golang/stdlib@1.26.1 0 installed"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
