package nu

import (
	"slices"
	"strings"
	"testing"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/source"
	"github.com/MordragT/nuka/source/kind"
)

// floppy returns a kind of source that nuka does not have.
func floppy() kind.Kind {
	return kind.Kind{
		Name: "floppy", About: "A disk.", More: "Slowly.",
		Args: []kind.Param{{Name: "label", Type: kind.String, About: "What is written on it."}},
		Flags: kind.Archive(
			kind.Param{Name: "side", Type: kind.String, About: "Which side.", Needed: &kind.Need{What: "side", Hint: "say --side A"}},
			kind.Param{Name: "double", Type: kind.Switch, About: "Of double density."},
		),
		Examples: []kind.Example{{Text: "fetch floppy games --side A --hash b3-aaaa", About: "Games."}},
		Stripped: func(f kind.Fields) int { return len(f["label"]) },
	}
}

// TestNewKind checks that the engine supports a new kind of source from the table alone.
func TestNewKind(t *testing.T) {
	table := source.Table()
	table.Kinds = append(table.Kinds, floppy())
	e := testEngine(t, &Options{Kinds: table})
	run := func(call string) (*Result, error) {
		text := `export def main [] { derivation {name: a, src: (` + call + `), build: {|b| fetch floppy games } } }`
		return e.Eval(t.Context(), &Request{Sets: sets(map[string]string{"a.nu": text}), File: "/work/a.nu"})
	}
	const hash = " --hash b3-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	res, err := run(`fetch floppy games --side A --double` + hash)
	if err != nil {
		t.Fatal(err)
	}
	p, err := pir.Decode(res.Packages[0].Canonical)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"double":"true","kind":"floppy","label":"games","side":"A"}`
	if got := string(res.Packages[0].Origins[0]); got != want || p.Strip != 5 || p.Unpack != pir.UnpackArchive {
		t.Errorf("got %s, strip %d, unpack %s, want %s, 5, archive", got, p.Strip, p.Unpack, want)
	}
	for call, want := range map[string]string{
		`fetch floppy games` + hash:                     "fetch floppy games has no side",
		`fetch floppy` + hash:                           "missing required positional",
		`fetch floppy games --side A --sied`:            "sied",
		`fetch floppy games --side A`:                   "fetch floppy source has no hash",
		`fetch tape games` + hash:                       "there is no kind of source `tape`",
		`fetch floppy games --side A --strip two`:       "int",
		`fetch floppy games --side A --strip 33` + hash: "--strip 33 is not from 0 to 32",
	} {
		if _, err := run(call); err == nil || !strings.Contains(strings.ToLower(err.Error()), want) {
			t.Errorf("%s: got %v, want %q", call, err, want)
		}
	}
	if _, err := run("fetch tape x"); err == nil || !strings.Contains(err.Error(), "debsrc, floppy") {
		t.Errorf("got %v, want all kinds", err)
	}
	commands, err := allCommands(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(commands, func(c command) bool { return c.Name == "fetch floppy" })
	if i < 0 {
		t.Fatal("the engine has no command fetch floppy")
	}
	const usage = "fetch floppy <label> [--hash <string>] [--strip <int>] [--unpack <string>] [--side <string>] [--double]"
	if c := commands[i]; !c.Own || c.Usage != usage || c.About != "A disk." || c.More != "Slowly." || len(c.Flags) != 6 || len(c.Examples) != 1 {
		t.Errorf("got %+v", c)
	}
	none := testEngine(t, &Options{Kinds: kind.Table{Kinds: []kind.Kind{}}})
	_, err = none.Eval(t.Context(), &Request{Sets: sets(map[string]string{"a.nu": `export def main [] { fetch url x }`}), File: "/work/a.nu"})
	if err == nil || !strings.Contains(err.Error(), "there is no kind of source `url`") {
		t.Errorf("without kinds: got %v", err)
	}
}

// TestCacheKeyOfKinds checks that another table of kinds, or other code behind it, finds no entries of the previous one.
func TestCacheKeyOfKinds(t *testing.T) {
	keys := map[string]bool{}
	table := source.Table()
	other := table
	other.Kinds = slices.Clone(table.Kinds)
	other.Kinds[0].About = "Something else."
	for _, table := range []kind.Table{table, other, {Kinds: append(slices.Clone(table.Kinds), floppy()), Version: table.Version}, {Kinds: table.Kinds, Version: "x"}} {
		keys[testEngine(t, &Options{Kinds: table}).cacheKey(&Request{File: "/work/a.nu"})] = true
	}
	if len(keys) != 4 {
		t.Errorf("4 tables have %d keys", len(keys))
	}
}
