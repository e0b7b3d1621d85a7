package lack

import (
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func lacks(text string) []Lack {
	var r Reader
	for line := range strings.Lines(text) {
		r.Line(strings.TrimSuffix(line, "\n"))
	}
	return r.Lacks()
}

// TestMessages reads messages of failed builds, as tools printed them.
func TestMessages(t *testing.T) {
	sure := func(k Kind, names ...string) (out []Lack) {
		for _, n := range names {
			out = append(out, Lack{Kind: k, Name: n})
		}
		return out
	}
	guess := func(k Kind, name string) []Lack { return []Lack{{k, name, true}} }
	for _, c := range []struct {
		text string
		want []Lack
	}{
		// pycairo 1.27.0, built by meson-python.
		{`      ../meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc'], ['clang'], ['nvc'], ['pgcc'], ['icc'], ['icx']]
      The following exception(s) were encountered:
      Running ` + "`cc --version`" + ` gave "[Errno 2] No such file or directory: 'cc'"
      Running ` + "`icx --version`" + ` gave "[Errno 2] No such file or directory: 'icx'"`, sure(Program, "gcc")},
		{`      Did not find pkg-config by name 'pkg-config'
      Found pkg-config: NO
      ../cairo/meson.build:31:12: ERROR: Dependency lookup for cairo with method 'pkgconfig' failed: Pkg-config for machine host machine not found. Giving up.`,
			sure(Program, "pkg-config")},
		{`      ../cairo/meson.build:31:12: ERROR: Dependency "cairo" not found, tried pkgconfig`, sure(Module, "cairo")},
		{`      ../cairo/meson.build:51:15: ERROR: Python dependency not found`, sure(Header, "Python.h")},
		// bufferutil 4.0.9, built by node-gyp.
		{`npm error gyp ERR! stack Error: Could not find any Python installation to use`, sure(Program, "python3")},
		{`npm error gyp ERR! stack Error: not found: make`, sure(Program, "make")},
		{`npm error gyp http GET https://example.org/download/release/v20.19.2/node-v20.19.2-headers.tar.gz`, guess(Header, "node/node.h")},
		{`gyp: /usr/common.gypi not found (cwd: /nuka/out/lib/node_modules/bufferutil) while reading includes of binding.gyp`, sure(Header, "node/node.h")},
		{`make: g++: No such file or directory`, sure(Program, "g++")},
		// Compilers and linkers.
		{`a.c:1:10: fatal error: cairo/nope.h: No such file or directory`, sure(Header, "cairo/nope.h")},
		{`a.c:1:10: fatal error: 'nope.h' file not found`, sure(Header, "nope.h")},
		{`/usr/bin/ld: cannot find -lnope: No such file or directory`, sure(Library, "nope")},
		{`/usr/bin/ld: cannot find Scrt1.o: No such file or directory`, sure(Header, "stdio.h")},
		{`ld.lld: error: unable to find library -lz`, sure(Library, "z")},
		{`gcc: fatal error: cannot execute 'cc1plus': posix_spawnp: No such file or directory`, sure(Program, "g++")},
		// Shells, make, Python, Go, Rust.
		{"sh: 1: gccx: not found\nbash: foo: command not found\nbash: line 1: bar: command not found", sure(Program, "gccx", "foo", "bar")},
		{`make[2]: x86_64-linux-gnu-gcc: No such file or directory`, sure(Program, "gcc")},
		{`error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory`, sure(Program, "gcc")},
		{`FileNotFoundError: [Errno 2] No such file or directory: 'pg_config'`, guess(Program, "pg_config")},
		{`Error: pg_config executable not found.`, sure(Program, "pg_config")},
		{`cgo: C compiler "gcc" not found: exec: "gcc": executable file not found in $PATH`, sure(Program, "gcc")},
		{"error: linker `cc` not found", sure(Program, "gcc")},
		{"error occurred in cc-rs: failed to find tool \"c++\": No such file or directory (os error 2)", sure(Program, "g++")},
		{"thread 'main' panicked: is `cmake` not installed?", sure(Program, "cmake")},
		{"  The system library `openssl` required by crate `openssl-sys` was not found.", sure(Module, "openssl")},
		// pkg-config and CMake.
		{"Package nope.x was not found in the pkg-config search path.\nPackage 'nope.x', required by 'virtual:world', not found", sure(Module, "nope.x")},
		{"No package 'libffi' found", sure(Module, "libffi")},
		{"CMake Error:\n  The following required packages were not found:\n\n   - libpq>=9\n", nil}, // an empty line ends the list
		{"  The following required packages were not found:\n   - libpq>=9\n   - gtk+-3.0\nend", sure(Module, "libpq", "gtk+-3.0")},
		{`Could NOT find ZLIB (missing: ZLIB_LIBRARY ZLIB_INCLUDE_DIR)`, sure(CMakeLib, "ZLIB")},
		{`Could NOT find PkgConfig (missing: PKG_CONFIG_EXECUTABLE)`, sure(Program, "pkg-config")},
		{`  Could not find a package configuration file provided by "Qt6" with any of`, sure(CMakeLib, "Qt6")},
		{`  No CMAKE_CXX_COMPILER could be found.`, sure(Program, "g++")},
		{`configure: error: no acceptable C compiler found in $PATH`, sure(Program, "gcc")},
		// What is certain goes before guesses.
		{"FileNotFoundError: [Errno 2] No such file or directory: 'README.md'\nmake: g++: No such file or directory", sure(Program, "g++")},
		{"checking for gcc... not found\n-- Looking for foo.h - not found", nil},
		{"all is well", nil},
	} {
		if diff := cmp.Diff(c.want, lacks(c.text), cmp.Transformer("none", func(l []Lack) []Lack {
			if len(l) == 0 {
				return []Lack{}
			}
			return l
		})); diff != "" {
			t.Errorf("%s:\n%s", c.text, diff)
		}
	}
}

// TestHostileOutput has builds print what should trick a terminal, a shell, a pattern or the memory of the reader.
func TestHostileOutput(t *testing.T) {
	for _, text := range []string{
		"sh: 1: $(rm${IFS}-rf): not found", "sh: 1: a;b: not found", "make: ../../etc/passwd: No such file or directory", "fatal error: ../../../etc/shadow: No such file or directory",
		"fatal error: /etc/passwd: No such file or directory", "fatal error: *.h: No such file or directory", "fatal error: a//b.h: No such file or directory",
		"sh: 1: --root: not found", "Package '-x' not found", "cannot find -l../x", "make: " + strings.Repeat("a", 200) + ": No such file or directory",
		"fatal error: " + strings.Repeat("a/", 30) + "b.h: No such file or directory",
	} {
		for _, l := range lacks(text) {
			if !plain().MatchString(l.Name) || strings.ContainsAny(l.Name, "$;*?[\\ ") || strings.Contains(l.Name, "..") {
				t.Errorf("%q gives %q", text, l.Name)
			}
			for _, f := range l.Files("x86_64-linux-gnu") {
				if path.Clean(f) != f || !strings.HasPrefix(f, "usr/") && !strings.HasPrefix(f, "bin/") && !strings.HasPrefix(f, "sbin/") {
					t.Errorf("%q is looked for as %q", text, f)
				}
			}
		}
	}
	if got := lacks("\x1b[1m\x1b[31mfatal error: \x1b]0;title\x07\x1b[0mcairo.h: No such file or directory\x1b[K"); len(got) != 1 || got[0].Name != "cairo.h" {
		t.Errorf("with colours: got %v", got)
	}
	var r Reader
	r.Line(strings.Repeat("x", 4<<20) + " fatal error: late.h: No such file or directory")
	if got := r.Lacks(); len(got) > 0 {
		t.Errorf("at the end of a line of 4 MB: got %v", got)
	}
	for i := range 10_000 {
		r.Line("fatal error: h" + strings.Repeat("a", i%80) + strings.Repeat("b", i/80%80) + ".h: No such file or directory")
	}
	if got := len(r.Lacks()); got != maxLacks {
		t.Errorf("endless output gives %d lacks, want %d", got, maxLacks)
	}
}

// FuzzLine has names always be plain, and reading never fail.
func FuzzLine(f *testing.F) {
	f.Add("fatal error: cairo.h: No such file or directory", "sh: 1: gcc: not found")
	f.Add("The following required packages were not found:", " - a>=1")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, l := range lacks(a + "\n" + b) {
			if !plain().MatchString(l.Name) || len(l.Files("x")) == 0 {
				t.Errorf("%q %q give %q", a, b, l.Name)
			}
			for _, file := range l.Files("x") {
				if _, err := path.Match(file, "usr/x"); err != nil {
					t.Errorf("%q: %v", file, err)
				}
			}
		}
	})
}
