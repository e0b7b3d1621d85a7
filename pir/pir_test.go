package pir

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
)

var update = flag.Bool("update", false, "rewrite testdata: a change of vectors is a new version of the format")

func id(b byte) PID { return Sum([]byte{b}) }

func samples(t testing.TB) map[string]*PIR {
	hash := func(s string) Hash {
		h, err := ParseHash(s)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	return map[string]*PIR{
		"fetch-archive": {Kind: Fetch, Hash: hash("sha256-" + strings.Repeat("0f", 32)), Unpack: UnpackArchive, Strip: 1},
		"fetch-file":    {Kind: Fetch, Hash: NewHash(B3, make([]byte, 32)), Unpack: UnpackFile},
		"fetch-deb-raw": {Kind: Fetch, Hash: hash("sha256-" + strings.Repeat("0e", 32)), Unpack: UnpackDebRaw},
		"build": {
			Kind: Build, Name: "lua", Version: "5.4.4", Platform: Any,
			Packages: map[string]PID{"clang": id(1), "c": id(2)},
			Src:      Src{One: id(3)},
			Build: nuon.Record{"nu": "{|b| print \"a\\b\" }", "captures": nuon.Record{
				"flags": nuon.List{"-O2", int64(3), true, nuon.Duration(5), nuon.Filesize(7), nuon.Binary{1, 0xff}}}},
			Env:    map[string]string{"CC": "clang"},
			Run:    nuon.Record{"commands": nuon.List{"lua", "luac"}},
			Policy: nuon.Record{"license": "MIT"},
		},
		"build-sources": {
			Kind: Build, Name: "x", Platform: Platform{OS: "linux", CPU: "x86_64_v3", Libc: "gnu"},
			Src: Src{Named: map[string]PID{"b": id(1), "a": id(2)}}, Build: nuon.Record{"nu": "{}"},
		},
		"native": {
			Kind: Native, Name: "bzip2", Version: "1.0.8", Platform: Platform{OS: "linux", CPU: "x86_64_v3", Libc: "gnu"},
			Runtime: id(7), Packages: map[string]PID{"zlib": id(1)}, Src: Src{One: id(3)}, Build: nuon.Record{"nu": "{|b| ^make }"},
		},
		"env": {Kind: Env, Name: "profile", Packages: map[string]PID{"lua": id(9)}},
		"env-merge": {
			Kind: Env, Name: "dev", Packages: map[string]PID{"lua": id(9), "luajit": id(8)}, Env: map[string]string{"LUA_PATH": "./?.lua"},
			Merge: map[string]Merge{
				"lua":    {Priority: 5, Rename: map[string]string{"bin/lua": "bin/lua-5.5"}},
				"luajit": {Leave: []string{"bin/lua*", "share/doc"}},
			},
		},
		"env-layout": {
			Kind: Env, Name: "python", Packages: map[string]PID{"dash": id(9), "libstdc++6": id(8)}, Layout: LayoutFHS1,
			Merge: map[string]Merge{"dash": {Leave: []string{"usr/share/doc"}}},
		},
		"data": {Kind: Data, Name: "motd", Data: nuon.Record{"text": "hé"}},
	}
}

// TestVectors compares canonical bytes and PIDs with frozen ones, which must never change.
func TestVectors(t *testing.T) {
	for name, p := range samples(t) {
		canonical, err := p.Encode()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		file := "testdata/" + name + ".nuon"
		got := string(canonical) + "\n" + Sum(canonical).String() + "\n"
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		back, err := Decode(canonical)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(p, back, cmp.AllowUnexported(Hash{})); diff != "" {
			t.Errorf("%s: round trip (-want +got)\n%s", name, diff)
		}
	}
}

// TestDerivation compares a PID with BLAKE3's derive-key mode in our context, as the reference implementation computes it.
func TestDerivation(t *testing.T) {
	const want = "36b43226d6262f613b62234bb41de56da6fb904c839b122683ab46170c420e4c"
	digest := Sum([]byte("abc"))
	if got := hex.EncodeToString(digest[:]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, change := range map[string]func(*PIR){
		"kind":        func(p *PIR) { p.Kind = "bild" },
		"name":        func(p *PIR) { p.Name = "-rf" },
		"name slash":  func(p *PIR) { p.Name = "a/b" },
		"version":     func(p *PIR) { p.Version = "1 2" },
		"closure":     func(p *PIR) { p.Build = nil },
		"build field": func(p *PIR) { p.Build = nuon.Record{"nu": "{}", "x": true} },
		"env":         func(p *PIR) { p.Env = map[string]string{"A=B": ""} },
		"package":     func(p *PIR) { p.Packages = map[string]PID{"x": {}} },
		"commands":    func(p *PIR) { p.Run = nuon.Record{"commands": nuon.List{"../x"}} },
		"float":       func(p *PIR) { p.Policy = nuon.Record{"x": 1.5} },
	} {
		p := samples(t)["build"]
		change(p)
		if b, err := p.Encode(); err == nil {
			t.Errorf("%s: got %s, want an error", name, b)
		}
	}
}

// TestLayoutRefuses checks that only an environment has a layout, and only a known one. Decode must refuse it too: the field changes the PID.
func TestLayoutRefuses(t *testing.T) {
	for name, p := range samples(t) {
		if p.Kind != Env {
			plain, err := p.Encode()
			p.Layout = LayoutFHS1
			if b, e := p.Encode(); err != nil || e == nil {
				t.Errorf("%s: got %s, want an error (%v)", name, b, err)
			}
			text := strings.Replace(string(plain), `"kind":"`+string(p.Kind)+`",`, `"kind":"`+string(p.Kind)+`","layout":"fhs-1",`, 1)
			if p, err := Decode([]byte(text)); err == nil || text == string(plain) {
				t.Errorf("%s: got %+v, want a refusal of the layout", name, p)
			}
		}
	}
	for _, layout := range []Layout{"fhs", "fhs-2", "FHS-1", " "} {
		p := samples(t)["env"]
		p.Layout = layout
		if b, err := p.Encode(); err == nil {
			t.Errorf("%q: got %s, want an error", layout, b)
		}
	}
	p := samples(t)["fetch-deb-raw"]
	p.Strip = 1
	if b, err := p.Encode(); err == nil {
		t.Errorf("deb-raw with strip: got %s, want an error", b)
	}
}

func TestMergeRefuses(t *testing.T) {
	for name, m := range map[string]Merge{
		"nothing":     {},
		"priority":    {Priority: MaxPriority + 1},
		"above":       {Leave: []string{"../x"}},
		"absolute":    {Leave: []string{"/bin"}},
		"not clean":   {Leave: []string{"bin//x"}},
		"root":        {Leave: []string{"."}},
		"pattern":     {Leave: []string{"bin/["}},
		"not sorted":  {Leave: []string{"b", "a"}},
		"twice":       {Leave: []string{"a", "a"}},
		"rename up":   {Rename: map[string]string{"bin/a": "../a"}},
		"rename root": {Rename: map[string]string{"": "x"}},
		"same name":   {Rename: map[string]string{"a": "a"}},
		"same target": {Rename: map[string]string{"a": "c", "b": "c"}},
		"zero byte":   {Rename: map[string]string{"a": "b\x00"}},
	} {
		p := samples(t)["env"]
		p.Merge = map[string]Merge{"lua": m}
		if b, err := p.Encode(); err == nil {
			t.Errorf("%s: got %s, want an error", name, b)
		}
	}
	p := samples(t)["env"]
	p.Merge = map[string]Merge{"none": {Priority: 1}}
	if b, err := p.Encode(); err == nil {
		t.Errorf("a package that is not there: got %s, want an error", b)
	}
	for _, text := range []string{`{priority: "1"}`, `{leave: x}`, `{leave: [1]}`, `{rename: {a: 1}}`, `{other: 1}`, `{priority: 4611686018427387904}`} {
		rec, err := nuon.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if m, err := ParseMerge(rec.(nuon.Record)); err == nil {
			t.Errorf("%s: got %+v, want an error", text, m)
		}
	}
}

func TestMergePath(t *testing.T) {
	m := Merge{
		Leave:  []string{"bin/luac*", "share/doc"},
		Rename: map[string]string{"bin/lua": "bin/lua5", "share": "usr/share", "share/man": "man"},
	}
	for at, want := range map[string]string{
		"bin/lua": "bin/lua5", "bin/luax": "bin/luax", "bin/luac": "", "bin/luac5/x": "", "share/doc/a/b": "", "share/docs": "usr/share/docs",
		"share/man/man1/lua.1": "man/man1/lua.1", "share": "usr/share", "bin": "bin",
	} {
		if got, kept := m.Path(at); got != want || kept != (want != "") {
			t.Errorf("%s: got %q, %v; want %q", at, got, kept, want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	good, err := samples(t)["fetch-file"].Encode()
	if err != nil {
		t.Fatal(err)
	}
	text := string(good)
	for name, bad := range map[string]string{
		"unknown field": strings.Replace(text, `"pir":1`, `"new":1,"pir":1`, 1),
		"version":       strings.Replace(text, `"pir":1`, `"pir":2`, 1),
		"other kind":    strings.Replace(text, `"kind":"fetch"`, `"kind":"fetch","name":"x"`, 1),
		"hash text":     strings.Replace(text, `"b3-aaaa`, `"b3-AAAA`, 1),
		"strip zero":    strings.Replace(text, `"unpack"`, `"strip":0,"unpack"`, 1),
		"space":         " " + text,
		"list":          "[]",
	} {
		if bad == text {
			t.Errorf("%s: the case changes nothing", name)
		}
		if p, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%s: got %+v, want an error", name, p)
		}
	}
}

func TestResolve(t *testing.T) {
	contents := map[PID]cid.CID{}
	for _, b := range []byte{1, 2, 3} {
		contents[id(b)] = cid.Sum(cid.Raw, []byte{b})
	}
	look := func(p PID) (cid.CID, error) { return contents[p], nil }
	a := samples(t)["build"]
	first, text, err := a.Resolve(look)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(contents[id(1)].String())) || bytes.Contains(text, []byte(id(1).String())) {
		t.Errorf("resolved PIR names PIDs or misses CIDs: %s", text)
	}
	// If an input's PID changes and its content does not, the resolved PIR stays the same: early cutoff.
	b := samples(t)["build"]
	b.Packages["clang"] = id(8)
	contents[id(8)] = contents[id(1)]
	if second, _, err := b.Resolve(look); err != nil || second != first {
		t.Errorf("got %s, %v; want %s", second, err, first)
	}
	contents[id(8)] = contents[id(2)]
	if third, _, err := b.Resolve(look); err != nil || third == first {
		t.Errorf("other content resolves to the same PID %s, %v", third, err)
	}
	delete(contents, id(8))
	if _, _, err := b.Resolve(look); err == nil {
		t.Error("an input without content resolves")
	}
}

func TestPID(t *testing.T) {
	want := id(5)
	got, err := ParsePID(want.String())
	if err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	text := want.String()
	for _, bad := range []string{"", text[1:], text + "a", strings.ToUpper(text), text[:51] + "b", text[:51] + "1"} {
		if bad == text {
			continue
		}
		if p, err := ParsePID(bad); err == nil {
			t.Errorf("%q: got %s, want an error", bad, p)
		}
	}
}

func TestParseHash(t *testing.T) {
	for in, want := range map[string]string{
		"sha256-" + strings.Repeat("AB", 32):                  "sha256-" + strings.Repeat("ab", 32),
		"sha256:" + strings.Repeat("ab", 32):                  "sha256-" + strings.Repeat("ab", 32),
		"sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=": "sha256-" + strings.Repeat("00", 32),
		"h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=":     "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"b3-" + strings.Repeat("a", 52):                       "b3-" + strings.Repeat("a", 52),
	} {
		got, err := ParseHash(in)
		if err != nil || got.String() != want {
			t.Errorf("%s: got %s, %v; want %s", in, got, err, want)
		}
		again, err := ParseHash(got.String())
		if err != nil || again != got {
			t.Errorf("%s does not read back: %v", got, err)
		}
	}
	for _, bad := range []string{"", "sha256-", "md5-00", "b3-aa", "sha256-" + strings.Repeat("a", 63), "h1:" + strings.Repeat("ab", 32)} {
		if h, err := ParseHash(bad); err == nil {
			t.Errorf("%q: got %s, want an error", bad, h)
		}
	}
}

func TestPlatform(t *testing.T) {
	for _, text := range []string{"any", "linux-x86_64_v3-gnu", "darwin-aarch64", "linux-aarch64"} {
		p, err := ParsePlatform(text)
		if err != nil || p.String() != text {
			t.Errorf("%s: got %s, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "linux", "linux-z80", "plan9-x86_64", "darwin-aarch64-gnu", "any-x86_64", "linux-x86_64-gnu-x"} {
		if p, err := ParsePlatform(text); err == nil {
			t.Errorf("%q: got %s, want an error", text, p)
		}
	}
	if diff := cmp.Diff([]CPU{"x86_64_v3", "x86_64_v2", "x86_64"}, CPU("x86_64_v3").Levels()); diff != "" {
		t.Error(diff)
	}
	machine := Platform{OS: "linux", CPU: "x86_64_v3", Libc: "gnu"}
	for text, want := range map[string]bool{
		"any": true, "linux-x86_64-gnu": true, "linux-x86_64_v3": true,
		"linux-x86_64_v4-gnu": false, "linux-x86_64-musl": false, "darwin-x86_64": false, "linux-aarch64": false,
	} {
		p, err := ParsePlatform(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.RunsOn(machine); got != want {
			t.Errorf("%s on %s: got %t, want %t", p, machine, got, want)
		}
	}
}

func TestFieldError(t *testing.T) {
	p := samples(t)["build"]
	p.Name = ""
	_, err := p.Encode()
	var field *FieldError
	if !errors.As(err, &field) || field.Field != "name" {
		t.Errorf("got %v, want a FieldError for name", err)
	}
}

// FuzzDecode checks that Encode writes the same bytes for whatever Decode accepts.
func FuzzDecode(f *testing.F) {
	for _, p := range samples(f) {
		b, err := p.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b)
		if err != nil {
			return
		}
		again, err := p.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q decodes, but encodes to %q, %v", b, again, err)
		}
	})
}

// FuzzParse checks that each text that a parser accepts is the only text of its identifier.
func FuzzParse(f *testing.F) {
	f.Add(id(1).String())
	f.Add("linux-x86_64_v3-gnu")
	f.Add("sha256-" + strings.Repeat("ab", 32))
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParsePID(s); err == nil && p.String() != s {
			t.Errorf("pid %q reads as %s", s, p)
		}
		if p, err := ParsePlatform(s); err == nil && p.String() != s {
			t.Errorf("platform %q reads as %s", s, p)
		}
		if h, err := ParseHash(s); err == nil {
			if again, err := ParseHash(h.String()); err != nil || again != h {
				t.Errorf("hash %q reads as %s, which reads as %s, %v", s, h, again, err)
			}
		}
	})
}
