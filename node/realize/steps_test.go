package realize

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// The event of each fetch and build that begins carries its number and the total. Packages that are present, and those that early cutoff keeps,
// do not count.
func TestStepsAreCounted(t *testing.T) {
	f := newFixture(t)
	chain := func(base string) pir.PID {
		id := f.build("base", base, nil)
		for _, name := range []string{"middle", "top"} {
			id = f.build(name, "bin/"+name+"="+name, map[string]pir.PID{"below": id})
		}
		return id
	}
	steps := func(id pir.PID) (list [][2]int64) {
		t.Helper()
		f.realize(id)
		for _, e := range f.events {
			if e.Kind == protocol.EventStart {
				list = append(list, [2]int64{e.Done, e.Total})
			}
		}
		return list
	}
	first := chain("lib/a=one")
	for _, c := range []struct {
		what string
		id   pir.PID
		want [][2]int64
	}{
		{"all is built", first, [][2]int64{{1, 3}, {2, 3}, {3, 3}}},
		{"all is here", first, nil},
		{"the base is built to the content that it had", chain("lib/a=one # a remark"), [][2]int64{{1, 3}}},
	} {
		if d := cmp.Diff(c.want, steps(c.id)); d != "" {
			t.Errorf("%s (-want +got)\n%s", c.what, d)
		}
	}
}
