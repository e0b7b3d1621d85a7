package nu

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/MordragT/nuka/pir"
)

func testEngine(t *testing.T, o *Options) *Engine {
	t.Helper()
	if o == nil {
		o = &Options{}
	}
	if o.Runtime == nil {
		o.Runtime = testRuntime
	}
	e, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// sets makes mounts from paths and texts: "packages/…" is the library, anything else the user's folder.
func sets(files map[string]string) []Mount {
	lib, work := fstest.MapFS{}, fstest.MapFS{}
	for name, text := range files {
		if rest, ok := strings.CutPrefix(name, "packages/"); ok {
			lib[rest] = &fstest.MapFile{Data: []byte(text)}
		} else {
			work[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return []Mount{{Path: "/packages", FS: lib, Library: true}, {Path: "/work", FS: work, Host: "."}}
}

func eval(t *testing.T, files map[string]string, file string, args ...string) (*Result, error) {
	t.Helper()
	return testEngine(t, nil).Eval(t.Context(), &Request{Sets: sets(files), File: file, Args: args})
}

func TestEval(t *testing.T) {
	files := map[string]string{
		"packages/lib/zlib.nu": `
use ../toolchain/clang.nu
export const version = "1.3.1"
export def main [--minizip] {
  let flags = if $minizip { ["-DMINIZIP"] } else { [] }
  derivation {
    name: zlib, version: $version, license: Zlib
    src: (fetch crate libz-sys 1.1.20 --hash sha256-15d118bbf3771060e7311cc7bb0545b01d08a8b4a7de949198dec1fa0ca1c0f2 --strip 1)
    packages: [$clang]
    build: {|b|
      cd $b.src
      with-env {CC: clang} { ^clang ...$flags -c a.c -o a.o }
    }
  }
}`,
		"packages/toolchain/clang.nu": `
export def main [] {
  derivation { name: clang, version: "22", build: {|b| mkdir $b.out } }
}`,
		"hello.nu": `
use lib/zlib.nu
use toolchain/clang.nu
export def main [--nls] {
  derivation {
    name: hello, version: "1.0"
    packages: [(zlib --minizip) $clang]
    build: {|b| ^clang --version | save version.txt; print $nls }
  }
}`,
	}
	res, err := eval(t, files, "/work/hello.nu", "--nls")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range res.Packages {
		names = append(names, p.Name)
		if _, err := pir.Decode(p.Canonical); err != nil {
			t.Error(err)
		}
		t.Logf("%s %s", p.PID.Short(), p.Canonical)
	}
	if got, want := strings.Join(names, " "), " clang zlib hello"; got != want {
		t.Errorf("got packages %q, want %q", got, want)
	}
}
