package nu

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/source"
)

// TestExamples runs the examples of every command inside the engine.
func TestExamples(t *testing.T) {
	outcomes, err := runExamples(t.Context(), testEngine(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	var skipped []string
	for _, o := range outcomes {
		if isKind(o.Command) && o.Status == "parsed" {
			continue
		}
		if o.Status == "failed" && o.Command == "attr deprecated" {
			o.Status = "warns" // its result is the text of a warning, which nothing shows here
		}
		count[o.Status]++
		switch o.Status {
		case "failed":
			t.Errorf("%s: %s\n%s", o.Command, o.Example, o.Reason)
		case "skipped":
			skipped = append(skipped, fmt.Sprintf("%s: %s", o.Command, o.Reason))
		}
	}
	// These examples use commands that are left out on purpose.
	want := []string{
		"def: `path expand` is not here",
		"do: `nu` is not here",
		"do: unknown command `thisisnotarealcommand`",
		"export const: unknown command `foo`", // an example in Nushell's documentation, where foo is a constant
		"into binary: `path expand` is not here",
		"into string: `into datetime` is not here",
		"metadata set: unknown command `pwd`",
		"module: `export-env` is not here",
		"update: `into matrix` is not here",
		"where: `date` is not here",
	}
	slices.Sort(skipped)
	if d := cmp.Diff(want, skipped); d != "" {
		t.Errorf("skipped: -want +got:\n%s", d)
	}
	// "passed" gave the promised result, "ran" promises none, "parsed" needs a build and is covered by TestRunBuild.
	wantCount := map[string]int{"passed": 762, "ran": 72, "parsed": 72, "skipped": 10, "warns": 1}
	if d := cmp.Diff(wantCount, count); d != "" {
		t.Errorf("outcomes: -want +got:\n%s", d)
	}
}

func TestCommands(t *testing.T) {
	commands, err := allCommands(t.Context(), testEngine(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	own, kinds := 0, 0
	for _, c := range commands {
		if c.About == "" || c.Usage == "" {
			t.Errorf("%s: no description", c.Name)
		}
		if isKind(c.Name) {
			kinds++
		}
		if c.Own {
			own++
			if len(c.Examples) == 0 {
				t.Errorf("%s: no example", c.Name)
			}
		}
	}
	if n := len(source.Kinds()); kinds != n {
		t.Errorf("got commands for %d kinds of sources, want %d", kinds, n)
	}
	if got := len(commands) - kinds; got != 248 || own-kinds != 23 {
		t.Errorf("got %d commands, %d of them own; want 248 and 23: say so in docs and here", got, own-kinds)
	}
}

// isKind reports whether a command belongs to a kind of source, of which there may be any number.
func isKind(command string) bool {
	name, ok := strings.CutPrefix(command, "fetch ")
	return ok && source.Table().Find(name) != nil
}
