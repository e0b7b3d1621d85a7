package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// readmeBlocks lists the blocks of README.md and docs/sharing.md by their first line, with the node that runs each: a, b, or none.
// An author who adds a block must add it here, with its node or with the reason why no node runs it.
var readmeBlocks = []struct{ first, node, why string }{
	{first: "make run", node: "a"},
	{first: "nuka run lua -- -e 'print(1)'", node: "a"},
	{first: "nuka share lua", node: "a"},
	{first: "nuka trust add key-…", node: "b"},
	{first: "nuka mesh create team", node: "a"},
	{first: "nuka mesh join nuka-…", node: "b"},
	{first: `{share: [{names: "work-*"`, node: "a"},
}

// readmeNot lists the lines that the test does not run, each with the reason.
var readmeNot = map[string]string{
	"make test": "it is what runs this test's package",
}

// readmeGreet is the command that the page shows below its package.
const readmeGreet = "nuka run ./greet.nu --name you"

// readmeAsks lists the commands that ask for confirmation on a terminal; the test answers yes.
var readmeAsks = []string{"nuka trust add key-…"}

// A readmeBlock is a run of indented lines of a page, without their comments.
type readmeBlock struct {
	at    string // the page and the line
	lines []string
}

// readmePages are the pages that TestReadme follows, in this order.
var readmePages = []string{"README.md", "docs/sharing.md"}

// readPages returns the text of readmePages and its blocks.
func readPages(t *testing.T, root string) (text string, blocks []readmeBlock) {
	t.Helper()
	for _, page := range readmePages {
		b, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
		blocks = append(blocks, blocksOf(page, string(b))...)
	}
	return text, blocks
}

// blocksOf returns the indented blocks of a page, those in fences left out.
func blocksOf(page, text string) []readmeBlock {
	var blocks []readmeBlock
	fenced, within := false, false
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		code, indented := strings.CutPrefix(line, "    ")
		if !indented || fenced {
			within = false
			continue
		}
		if !within {
			blocks = append(blocks, readmeBlock{at: fmt.Sprintf("%s:%d", page, i+1)})
		}
		within = true
		if before, _, ok := strings.Cut(code, " # "); ok {
			code = before
		}
		last := &blocks[len(blocks)-1]
		last.lines = append(last.lines, strings.TrimSpace(code))
	}
	return blocks
}

// nodeOf returns the node that runs a block.
func nodeOf(b readmeBlock) (node string, known bool) {
	for _, k := range readmeBlocks {
		if strings.HasPrefix(b.lines[0], k.first) {
			return k.node, true
		}
	}
	return "", false
}

// TestReadmeBlocks checks that TestReadme runs each block of the pages, or that readmeBlocks gives a reason why it does not.
func TestReadmeBlocks(t *testing.T) {
	text, blocks := readPages(t, "../..")
	if !strings.Contains(text, "`"+readmeGreet+"`") {
		t.Errorf("README.md does not say %q any more", readmeGreet)
	}
	for _, b := range blocks {
		if _, known := nodeOf(b); !known {
			t.Errorf("%s: the block that begins %q is neither run nor known: add it to readmeBlocks", b.at, b.lines[0])
		}
	}
	for _, k := range readmeBlocks {
		if !slices.ContainsFunc(blocks, func(b readmeBlock) bool { return strings.HasPrefix(b.lines[0], k.first) }) {
			t.Errorf("no page has a block that begins %q any more", k.first)
		}
		if (k.node == "") != (k.why != "") {
			t.Errorf("%q: it is run, or there is a reason why not", k.first)
		}
	}
}

// TestReadme runs the commands of the pages unchanged, with two nodes in fresh homes: NUKA_LONG=1.
// It replaces KEY and TICKET by the output of earlier commands of the other node.
func TestReadme(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("set NUKA_LONG=1: it needs the registries and some minutes")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, blocks := readPages(t, root)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "readme.txtar"), readmeScene(text, blocks), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &readme{root: root, printed: map[string]map[string]string{}}
	testscript.Run(t, testscript.Params{
		Dir: dir, RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			r.homes = map[string]string{}
			for _, node := range []string{"a", "b"} {
				home, err := os.MkdirTemp("", "n") //nolint:usetesting // short: the name of a socket has to fit
				if err != nil {
					return err
				}
				r.homes[node] = home
				e.Defer(func() {
					stop(t, home)
					if err := os.RemoveAll(home); err != nil {
						t.Error(err)
					}
				})
			}
			e.Vars = append(os.Environ(), "WORK="+e.WorkDir, "PATH="+filepath.Join(root, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"readme": r.run, "sample": sample},
	})
}

// readmeScene makes a scene from the pages: one line for each line of their blocks, and the file of a package.
func readmeScene(text string, blocks []readmeBlock) []byte {
	var scene strings.Builder
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	fmt.Fprintf(&scene, "sample file 100000\n")
	for _, b := range blocks {
		node, _ := nodeOf(b)
		fmt.Fprintf(&scene, "# %s, node %s\n", b.at, node)
		for _, line := range b.lines {
			if _, not := readmeNot[line]; not || node == "" {
				continue
			}
			if slices.Contains(readmeAsks, line) {
				fmt.Fprintf(&scene, "ttyin -stdin yes\n")
			}
			fmt.Fprintf(&scene, "readme %s %s\n", node, quote(line))
		}
	}
	// The package of the page, in the file that the sentence after it names.
	_, greet, _ := strings.Cut(text, "```nu\n")
	greet, _, _ = strings.Cut(greet, "```")
	fmt.Fprintf(&scene, "# A package of your own\nreadme a '%s'\nstdout '^hello you$'\n", readmeGreet)
	fmt.Fprintf(&scene, "-- yes --\ny\n-- greet.nu --\n%s", greet)
	return []byte(scene.String())
}

// readme runs lines of the page.
type readme struct {
	root    string
	homes   map[string]string
	printed map[string]map[string]string // by node, then by placeholder: the value
}

var readmePlaceholders = map[string]*regexp.Regexp{
	"key-…":  regexp.MustCompile(`\bkey-[a-z2-7]{52}\b`),
	"nuka-…": regexp.MustCompile(`\bnuka-[a-z2-7]{40,}\b`),
}

// run is: readme NODE LINE.
func (r *readme) run(ts *testscript.TestScript, _ bool, args []string) {
	node, line := args[0], args[1]
	for placeholder := range readmePlaceholders {
		for other, printed := range r.printed {
			if other != node && printed[placeholder] != "" {
				line = strings.ReplaceAll(line, placeholder, printed[placeholder])
			}
		}
	}
	if strings.Contains(line, "…") {
		ts.Fatalf("%s: nothing has printed what belongs there", line)
	}
	ts.Setenv("NUKA_HOME", r.homes[node])
	switch {
	case strings.HasPrefix(line, "{"): // a line of config.nuon
		ts.Check(os.WriteFile(filepath.Join(r.homes[node], "config.nuon"), []byte(line+"\n"), 0o600))
		line = "nuka daemon stop; nuka daemon start"
	case strings.HasPrefix(line, "make "):
		line = "cd '" + r.root + "' && " + line
	}
	if err := ts.Exec("sh", "-c", line); err != nil {
		ts.Fatalf("%s: %v", line, err)
	}
	if r.printed[node] == nil {
		r.printed[node] = map[string]string{}
	}
	for placeholder, shape := range readmePlaceholders {
		if found := shape.FindString(ts.ReadFile("stdout")); found != "" {
			r.printed[node][placeholder] = found
		}
	}
}
