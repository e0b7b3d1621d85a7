package nu

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// docsPage lists the commands; docs/fetch.md, which package source generates, lists the commands for the kinds of sources.
const (
	docsPage  = "../docs/packages.md"
	fetchPage = "../docs/fetch.md"
	cPage     = "../docs/c.md"
	goPage    = "../docs/go.md"
)

var (
	fence   = regexp.MustCompile("(?ms)^```nu *([a-z]*)\n(.*?)^```$")
	section = regexp.MustCompile(`(?m)^#+ .*$`)
)

// TestPackagesPage runs each block of Nushell in docs/packages.md, docs/fetch.md, docs/c.md and docs/go.md: it evaluates whole files with the embedded package set
// and blocks of "eval", and it runs the "build" blocks of one section as one build.
func TestPackagesPage(t *testing.T) {
	page, err := os.ReadFile(docsPage)
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, other := range []string{fetchPage, cPage, goPage} {
		more, err := os.ReadFile(other)
		if err != nil {
			t.Fatal(err)
		}
		text += "\n" + string(more)
	}
	heads := append(section.FindAllStringIndex(text, -1), []int{len(text)})
	var shown strings.Builder // the Nushell that is run; it must use every command of nuka's own
	blocks := 0
	for i, head := range heads[:len(heads)-1] {
		title := strings.Trim(text[head[0]:head[1]], "# ")
		var lines strings.Builder
		for n, m := range fence.FindAllStringSubmatch(text[head[1]:heads[i+1][0]], -1) {
			name := fmt.Sprintf("%s %d", title, n+1)
			blocks++
			switch m[1] {
			case "":
				t.Run(name, func(t *testing.T) { evalPage(t, m[2]) })
			case "eval":
				shown.WriteString(m[2])
				body := m[2]
				if strings.HasPrefix(body, "fetch ") {
					body = "derivation {name: a, src: (" + strings.TrimSpace(body) + "), build: {|b| print $b.src}}\n"
				}
				t.Run(name, func(t *testing.T) { evalPage(t, "# a.nu: \nexport def main [] {\n"+body+"}\n") })
			case "build":
				lines.WriteString(m[2])
			default:
				t.Errorf("%s: what is a block of %q?", name, m[1])
			}
		}
		if lines.Len() > 0 {
			shown.WriteString(lines.String())
			t.Run(title, func(t *testing.T) { buildPage(t, lines.String()) })
		}
	}
	if blocks < 20 {
		t.Errorf("found %d blocks", blocks)
	}
	t.Run("commands", func(t *testing.T) { checkCommands(t, string(page), shown.String()) })
}

// emptyRecording is a recording of a client that asked nothing.
var emptyRecording = []byte("{\"answers\":[\n],\"door\":\"registry\",\"ecosystem\":\"pip\",\"recording\":1}\n")

// evalPage evaluates a package file whose first line is its name.
func evalPage(t *testing.T, text string) {
	name, _, ok := strings.Cut(strings.TrimPrefix(text, "# "), ".nu:")
	if !ok {
		t.Fatalf("the first line does not tell the file's name:\n%s", text)
	}
	work := fstest.MapFS{name + ".nu": {Data: []byte(text)}, "src/main.c": {Data: []byte("int main() {}\n")}, "recording.nuon": {Data: emptyRecording}}
	sets := []Mount{{Path: "/packages", FS: os.DirFS("../packages"), Library: true}, {Path: "/work", FS: work, Host: "."}}
	if _, err := testEngine(t, nil).Eval(t.Context(), &Request{Sets: sets, File: "/work/" + name + ".nu"}); err != nil {
		t.Error(err)
	}
}

// buildPage runs the lines of a build closure, with stand-ins for lua and clang.
func buildPage(t *testing.T, lines string) {
	files := script(lines)
	files["a.nu"] = strings.Replace(files["a.nu"], "build:", "src: (fetch path ./src), build:", 1)
	files["src/main.c"] = "int main() {}\n"
	files["packages/tool.nu"] = toolPackage
	res, err := eval(t, files, "/work/a.nu")
	if err != nil {
		t.Fatal(err)
	}
	b := buildIn(t, t.Context(), res, map[string]string{
		"hello.lua": "print('hello')\n", "src/main.c": "int main() {}\n", "data.tar": "an archive",
	})
	if b.err != nil {
		t.Errorf("%v\n%s%s", b.err, b.stdout, b.stderr)
	}
}

// checkCommands checks that the examples use each of nuka's own commands, and that the page lists all others.
func checkCommands(t *testing.T, text, shown string) {
	commands, err := allCommands(t.Context(), testEngine(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	byCategory := map[string][]string{}
	for _, c := range commands {
		if !c.Own {
			byCategory[c.Category] = append(byCategory[c.Category], "`"+c.Name+"`")
			continue
		}
		if !regexp.MustCompile(`(?m)(^|[ (])` + regexp.QuoteMeta(c.Name) + `( |\)|$)`).MatchString(shown) {
			t.Errorf("%s: no block shows it", c.Name)
		}
	}
	var list strings.Builder
	for _, category := range slices.Sorted(maps.Keys(byCategory)) {
		fmt.Fprintf(&list, "* %s: %s\n", category, strings.Join(byCategory[category], ", "))
	}
	begin, rest, ok := strings.Cut(text, " with what is bound -->\n")
	had, end, ok2 := strings.Cut(rest, "<!-- end of commands -->")
	if !ok || !ok2 {
		t.Fatal("the page has no list of commands")
	}
	if had == list.String() {
		return
	}
	if !*update {
		t.Errorf("the list of commands differs: run this test with -update")
		return
	}
	if err := os.WriteFile(docsPage, []byte(begin+" with what is bound -->\n"+list.String()+"<!-- end of commands -->"+end), 0o644); err != nil {
		t.Fatal(err)
	}
}
