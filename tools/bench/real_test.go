package main

import (
	"slices"
	"testing"
)

// The graph is the same each time, and a change of its first package reaches all others.
func TestGraph(t *testing.T) {
	list := graph(generatedPackages)
	reached := map[string]bool{"p000": true}
	shapes := map[shape]int{}
	for _, p := range list {
		shapes[p.shape]++
		if slices.ContainsFunc(p.inputs, func(input string) bool { return reached[input] }) {
			reached[p.name] = true
		}
		for _, input := range p.inputs {
			if !reached[input] {
				t.Errorf("%s comes before its input %s", p.name, input)
			}
		}
	}
	if len(reached) != generatedPackages {
		t.Errorf("got %d packages that depend on the first, want %d", len(reached), generatedPackages)
	}
	want := map[shape]int{plain: 159, sourced: 20, programs: 10, merged: 10, tool: 1}
	for s, n := range want {
		if shapes[s] != n {
			t.Errorf("got %d packages of shape %d, want %d", shapes[s], s, n)
		}
	}
	if again := graph(generatedPackages); again[199].nushell("", "") != list[199].nushell("", "") {
		t.Error("two graphs differ")
	}
	if _, err := leafOf(list); err != nil {
		t.Error(err)
	}
}

// Each way of being worse than the committed table has its mark, and nothing else has one.
func TestCompareFigures(t *testing.T) {
	committed, err := parseFigures(figureHead + "wall\t2.00\ts\t2.00\ntime, processor\t2.00\ts\t2.00\ndone\t1 built\tpackages\t\nold\t1\tCID\t\n")
	if err != nil {
		t.Fatal(err)
	}
	old := committed[3]
	for _, c := range []struct {
		name string
		now  []figure
		mark string // of the first figure, or of the row that is gone
		bad  int
	}{
		{"as it was", committed, "", 0},
		{"slower machine", []figure{{row: "wall", value: "9.00", unit: "s", ratio: 2}, committed[1], committed[2], old}, "", 0},
		{"wall time is not judged", []figure{{row: "wall", value: "99", unit: "s", ratio: 99}, committed[1], committed[2], old}, "", 0},
		{"within the margin of processor time", []figure{{row: "time, processor", value: "2", unit: "s", ratio: 3.9}, committed[0], committed[2], old}, "", 0},
		{"beyond the margin of processor time", []figure{{row: "time, processor", value: "2", unit: "s", ratio: 4.1}, committed[0], committed[2], old}, "WORSE", 1},
		{"no peer", []figure{{row: "wall", value: "2", unit: "s"}, committed[1], committed[2], old}, "", 0},
		{"another count", []figure{{row: "done", value: "2 built", unit: "packages"}, committed[0], committed[1], old}, "DIFFERS", 1},
		{"a new row", []figure{{row: "new", value: "1", unit: "CID"}, committed[0], committed[1], committed[2], old}, "NEW", 1},
		{"a row that is gone", committed[:3], "", 1},
	} {
		rows, bad := compareFigures(c.now, committed)
		if mark := rows[0][5]; mark != c.mark || bad != c.bad {
			t.Errorf("%s: got %q and %d that are worse, want %q and %d", c.name, mark, bad, c.mark, c.bad)
		}
	}
	for _, text := range []string{"", "row\tvalue\n", figureHead + "a\tb\ts\n", figureHead + "a\tb\ts\tx\n"} {
		if _, err := parseFigures(text); err == nil {
			t.Errorf("%q was taken for a table", text)
		}
	}
}
