package archive

import (
	"slices"
	"strings"
	"testing"
)

func TestObstacles(t *testing.T) {
	paths := []string{"p", "p/Makefile", "p/makefile", "p/aux.h", "p/auxiliary", `p/a\x2d`, "p/com1", "p/com10", "p/dot.", "p/e\u0301", "p/\u00e9", "p/plain", "p/a\x1b"}
	var got []string
	for _, o := range Obstacles(slices.Values(paths), 100) {
		got = append(got, o.Path+" "+strings.Join(o.Systems, "+"))
	}
	want := []string{
		"p/a\x1b windows", `p/a\x2d windows`, "p/aux.h windows", "p/com1 windows", "p/dot. windows", "p/makefile darwin+windows", "p/\u00e9 darwin+windows",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := len(Obstacles(slices.Values(paths), 2)); n != 2 {
		t.Errorf("got %d obstacles, want at most 2", n)
	}
}
