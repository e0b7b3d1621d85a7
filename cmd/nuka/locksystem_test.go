package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/foreign/lack"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/apt/apttest"
)

// nativeResult is the evaluation of a native package whose runtime has one package, aa.
func nativeResult(t *testing.T) *nu.Result {
	t.Helper()
	encode := func(p *pir.PIR) nu.Package {
		t.Helper()
		b, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return nu.Package{PID: pir.Sum(b), Canonical: b, Name: p.Name}
	}
	env := encode(&pir.PIR{Kind: pir.Env, Name: "runtime", Layout: pir.LayoutFHS1, Packages: map[string]pir.PID{"aa": pir.Sum([]byte("aa"))}})
	root := encode(&pir.PIR{Kind: pir.Native, Name: "x", Version: "1", Platform: pir.Platform{OS: "linux", CPU: "x86_64", Libc: "gnu"}, Runtime: env.PID,
		Build: nuon.Record{"nu": "{|b| }"}})
	return &nu.Result{Root: root.PID, Name: "x", Packages: []nu.Package{env, root}}
}

// TestLacking names the packages of what a failed build lacks, in an error or, with auto, in the recording.
func TestLacking(t *testing.T) {
	f := newLockFixture(t)
	var text strings.Builder
	for _, p := range [][]string{
		{"aa", "Depends: bb"}, {"bb"}, {"cc"}, {"gcc", "Depends: aa"}, {"libc6-dev", "Depends: cc"}, {"libcairo2"}, {"libcairo2-dev", "Depends: libcairo2, bb"},
	} {
		text.WriteString(apttest.Stanza(p[0], "1", p[1:]...))
	}
	f.Put(t, apttest.Suite{Codename: "trixie", Date: f.date, Packages: map[string]string{"amd64": text.String()}, Contents: map[string]string{"amd64": `usr/bin/gcc  devel/gcc
usr/lib/x86_64-linux-gnu/pkgconfig/cairo.pc  libdevel/libcairo2-dev
usr/bin/aa-config  devel/aa
usr/lib/libaa.so.1 libs/aa
`}}, f.key)
	if out, err := f.lock(f.set); err != nil {
		t.Fatal(out, err)
	}
	var out bytes.Buffer
	failure := protocol.Errorf(protocol.Failed, "build x 1: it ended with 1\n  more").WithHint("it said:\n  a long text\nits whole output: nuka log abc")
	lacking := func(p *pinner, auto bool, lacks ...lack.Lack) error {
		p.a = &app{terminal: &terminal{out: &out, err: &out}, home: f.home, system: f.root, set: f.set}
		return p.lacking(t.Context(), lacks, nativeResult(t), failure, auto)
	}
	gcc, cairo := lack.Lack{Kind: lack.Program, Name: "gcc"}, lack.Lack{Kind: lack.Module, Name: "cairo"}
	none, guess := lack.Lack{Kind: lack.Header, Name: "none.h"}, lack.Lack{Kind: lack.Program, Name: "README.md", Guess: true}

	err := lacking(&pinner{to: &ecosystem.Recording{}}, false, gcc, cairo, none, guess)
	e := protocol.AsError(err)
	want := "build x 1: it ended with 1\n  the build lacks:\n  program gcc: package gcc\n  pkg-config module cairo: package libcairo2-dev\n" +
		"  header none.h: no package of the distribution is known to have it"
	if diff := cmp.Diff(want, e.Message); diff != "" || protocol.CodeOf(err) != protocol.Failed {
		t.Errorf("%v: %s", protocol.CodeOf(err), diff)
	}
	if !strings.HasPrefix(e.Hint, "add to the package: build_system: [gcc libc6-dev libcairo2-dev]") || !strings.HasSuffix(e.Hint, "\nits whole output: nuka log abc") {
		t.Errorf("hint %q", e.Hint)
	}
	if err := lacking(&pinner{to: &ecosystem.Recording{}}, true, guess); !errors.Is(err, failure) {
		t.Errorf("only a guess that no package has: got %v, want the failure itself", err)
	}

	p := &pinner{to: &ecosystem.Recording{Ecosystem: "pip", Door: ecosystem.DoorRegistry}}
	if err := lacking(p, true, gcc, cairo); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, one := range p.to.BuildSystem {
		names = append(names, one.Name)
	}
	if diff := cmp.Diff([]string{"bb", "cc", "gcc", "libc6-dev", "libcairo2", "libcairo2-dev"}, names); diff != "" {
		t.Error("the closure beyond the runtime:", diff)
	}
	if _, err := p.to.Encode(); err != nil {
		t.Error(err)
	}
	if err := lacking(p, true, gcc); err == nil || !strings.Contains(err.Error(), "has these packages already") {
		t.Errorf("a build that lacks what it has: got %v", err)
	}
	if added, err := p.add(t.Context(), []string{"libcairo2"}, nativeResult(t), false); err != nil || len(added) > 0 {
		t.Errorf("a package that the build has: added %v, %v", added, err)
	}
}
