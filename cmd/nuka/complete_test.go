package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Shells show the description of a completion unchanged, so it must have no markup.
func TestCompletionsArePlain(t *testing.T) {
	t.Setenv("NUKA_HOME", t.TempDir())
	root, err := newRoot(&terminal{in: strings.NewReader(""), out: &bytes.Buffer{}, err: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	var paths [][]string
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		paths = append(paths, strings.Fields(c.CommandPath())[1:])
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	if len(paths) < 30 {
		t.Errorf("only %d commands", len(paths))
	}
	for _, path := range paths {
		for _, word := range []string{"", "--"} {
			var out, problems bytes.Buffer
			args := append(append([]string{"__complete"}, path...), word)
			if code := run(&terminal{in: strings.NewReader(""), out: &out, err: &problems}, args); code != 0 {
				t.Errorf("%v: exit code %d, %s", args, code, problems.String())
			}
			if strings.ContainsAny(out.String(), "`\x1b") {
				t.Errorf("%v: got %s", args, out.String())
			}
		}
	}
}
