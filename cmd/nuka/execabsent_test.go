package main

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/foreign"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/apt/apttest"
)

// TestAbsentProgram names or adds the package of a program that the runtime does not have.
func TestAbsentProgram(t *testing.T) {
	f := newLockFixture(t)
	f.Put(t, apttest.Suite{
		Codename: "trixie", Date: f.date, Packages: map[string]string{"amd64": apttest.Stanza("aa", "1") + apttest.Stanza("bb", "1") + apttest.Stanza("cc", "1") + apttest.Stanza("lang", "1", "Depends: bb")},
		Contents: map[string]string{"amd64": "usr/bin/lang  devel/lang\nusr/bin/aa  devel/aa\n"},
	}, f.key)
	if out, err := f.lock(f.set); err != nil {
		t.Fatal(out, err)
	}
	var out bytes.Buffer
	a := &app{terminal: &terminal{out: &out, err: &out}, home: f.home, system: f.root, set: f.set}
	coded := func(absent *foreign.AbsentError) error {
		return protocol.Errorf(protocol.NotFound, "exec: ./x: %w", absent)
	}
	have := map[string]pir.PID{"aa": {}}
	for _, test := range []struct {
		what   string
		absent foreign.AbsentError
		auto   bool
		added  []string
		want   string // in the error; "" is none
	}{
		{"the interpreter of a script", foreign.AbsentError{Program: "/usr/bin/lang", Script: true}, false, nil, "its first line names /usr/bin/lang, which the runtime does not have: package lang"},
		{"by its name", foreign.AbsentError{Program: "lang", Script: true}, false, nil, "package lang"},
		{"with auto", foreign.AbsentError{Program: "/usr/bin/lang", Script: true}, true, []string{"bb", "lang"}, ""},
		{"a word, which may be mistyped", foreign.AbsentError{Program: "lang"}, false, nil, "the runtime has no program lang"},
		{"a word, with auto", foreign.AbsentError{Program: "lang"}, true, []string{"bb", "lang"}, ""},
		{"no package has it", foreign.AbsentError{Program: "none", Script: true}, true, nil, "its first line names none"},
		{"a folder of nobody's", foreign.AbsentError{Program: "/opt/lang", Script: true}, true, nil, "/opt/lang"},
		{"its package is there, and has it elsewhere", foreign.AbsentError{Program: "/sbin/aa", Script: true}, true, nil, "/sbin/aa"},
	} {
		libs, err := a.absent(t.Context(), nil, nil, coded(&test.absent), have, test.auto)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.what, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || protocol.CodeOf(err) != protocol.NotFound):
			t.Errorf("%s: got %v, want %q", test.what, err, test.want)
		case strings.HasPrefix(test.what, "a word, which") && strings.Contains(err.Error(), "package"):
			t.Errorf("%s: got %v", test.what, err)
		}
		var names []string
		if libs != nil {
			for _, p := range libs.added {
				names = append(names, p.Name)
			}
		}
		if diff := cmp.Diff(test.added, names); diff != "" {
			t.Errorf("%s: %s", test.what, diff)
		}
	}
	if _, err := a.absent(t.Context(), nil, nil, fs.ErrInvalid, have, true); err != fs.ErrInvalid { //nolint:errorlint // it must be the error itself
		t.Errorf("another error: got %v", err)
	}
}
