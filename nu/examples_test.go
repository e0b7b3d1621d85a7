package nu

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestExamples runs what every bound command says of itself, inside the engine.
func TestExamples(t *testing.T) {
	outcomes, err := testEngine(t, nil).RunExamples(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	var skipped []string
	for _, o := range outcomes {
		count[o.Status]++
		switch o.Status {
		case "failed":
			t.Errorf("%s: %s\n%s", o.Command, o.Example, o.Reason)
		case "skipped":
			skipped = append(skipped, fmt.Sprintf("%s: %s", o.Command, o.Reason))
		}
	}
	t.Log(len(outcomes), count, "\n", strings.Join(skipped, "\n "))
	_ = cmp.Diff
}

func TestCommands(t *testing.T) {
	commands, err := testEngine(t, nil).Commands(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	own := 0
	for _, c := range commands {
		if c.About == "" || c.Usage == "" {
			t.Errorf("%s: no description", c.Name)
		}
		if c.Own {
			own++
			if len(c.Examples) == 0 {
				t.Errorf("%s: no example", c.Name)
			}
		}
	}
	t.Log(len(commands), own)
}
