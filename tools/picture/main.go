// Picture runs nuka's first commands in a fresh home and draws what they print, as an SVG.
//
//	go run ./tools/picture FILE
package main

import (
	"errors"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// commands are what the picture shows.
var commands = []string{
	`nuka run lua -- -e 'print(_VERSION, "in WebAssembly")'`,
	`nuka run lua -- -e 'print("again")'`,
	`nuka build lua --check`,
	`nuka build sqlite --dry-run`,
}

const (
	width      = 104 // characters; longer lines are cut
	charWidth  = 78  // tenths of a pixel, at a size of 13
	lineHeight = 18
	margin     = 16
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: picture FILE")
	}
	bin, err := filepath.Abs("bin")
	if err != nil {
		return err
	}
	home, err := os.MkdirTemp("", "nuka-picture-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home) //nolint:errcheck // a temporary folder
	env := append(os.Environ(), "NUKA_HOME="+home, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	var lines []line
	for _, text := range commands {
		begin := time.Now()
		out, err := shell(env, home, text)
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", text, err, out)
		}
		lines = append(lines, line{"$ " + text, "cmd"})
		for _, l := range strings.Split(strings.TrimRight(strings.ReplaceAll(out, home, "~/nuka"), "\n"), "\n") {
			class := "out"
			if strings.HasPrefix(l, "nuka: ") || strings.HasPrefix(l, "hint: ") {
				class = "said"
			}
			lines = append(lines, line{l, class})
		}
		lines = append(lines, line{fmt.Sprintf("# %.1f s", time.Since(begin).Seconds()), "time"}, line{})
	}
	if out, err := shell(env, home, "nuka daemon stop"); err != nil {
		return fmt.Errorf("stop the daemon: %w\n%s", err, out)
	}
	return os.WriteFile(args[0], []byte(svg(lines[:len(lines)-1])), 0o644) //nolint:gosec // a page of the repository
}

// shell runs a command line and returns what it prints, in the order in which it prints it.
func shell(env []string, dir, text string) (string, error) {
	cmd := exec.Command("sh", "-c", text) //nolint:gosec // the commands above
	cmd.Env, cmd.Dir = env, dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// A line is one of the terminal, with its class in the style.
type line struct{ text, class string }

func svg(lines []line) string {
	var b strings.Builder
	w, h := width*charWidth/10+2*margin, len(lines)*lineHeight+2*margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="nuka in a terminal">
<style>text{font:13px ui-monospace,Menlo,Consolas,monospace;white-space:pre}.cmd{fill:#f0f3f6;font-weight:600}.out{fill:#d0d7de}.said{fill:#8b949e}.time{fill:#57ab5a}</style>
<rect width="100%%" height="100%%" rx="8" fill="#0d1117"/>
`, w, h, w, h)
	for i, l := range lines {
		text := []rune(l.text)
		if len(text) > width {
			text = append(text[:width-1], '…')
		}
		if len(text) > 0 {
			fmt.Fprintf(&b, "<text class=%q x=\"%d\" y=\"%d\" xml:space=\"preserve\">%s</text>\n", l.class, margin, margin+(i+1)*lineHeight-5, html.EscapeString(string(text)))
		}
	}
	return b.String() + "</svg>\n"
}
