package profile

import (
	"cmp"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"unicode"

	"github.com/MordragT/nuka/pir"
)

// LaunchCommand is the hidden command of nuka that a launcher calls: nuka LaunchCommand PID COMMAND ARGS.
const LaunchCommand = "__launch"

// A Launcher is a small file in PATH that starts a command of a package.
type Launcher struct {
	Name    string  // of the file
	PID     pir.PID // the package
	Command string  // its program in bin
}

// Start is how launchers find nuka.
type Start struct {
	Program string // absolute path of nuka
	Home    string // NUKA_HOME; "": unset
}

// Launchers returns the launchers of the generation, sorted by name. If two packages have a command of one name, the package of the larger priority
// provides it, as in the environment.
func (g *Generation) Launchers() []Launcher {
	names := g.Names()
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Compare(g.Packages[b].Merge.Priority, g.Packages[a].Merge.Priority)
	})
	taken := map[string]Launcher{}
	for _, name := range names {
		p := g.Packages[name]
		for _, command := range p.Commands {
			at, kept := p.Merge.Path("bin/" + command)
			file := path.Base(at)
			if _, there := taken[file]; there || !kept || path.Dir(at) != "bin" || !launchable(file) || !launchable(command) {
				continue
			}
			taken[file] = Launcher{file, p.PID, command}
		}
	}
	out := make([]Launcher, 0, len(taken))
	for _, l := range taken {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b Launcher) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// launchable reports whether a launcher may have the name: a package must not put a hidden file, or a name that changes the terminal, into PATH.
func launchable(name string) bool {
	return name != "" && len(name) <= 200 && !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "-") &&
		!strings.ContainsFunc(name, func(r rune) bool {
			return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || strings.ContainsRune(`/\%"`, r)
		})
}

// file returns the name and the text of the launcher's file.
//
// It is a script of sh. A script whose #! names nuka starts 0.9 ms earlier, but the kernel cuts such a line (after 127 bytes in older ones),
// divides it at spaces, and says "bad interpreter" if nuka was moved.
func (l Launcher) file(s *Start) (name string, text []byte) {
	if runtime.GOOS == "windows" {
		return l.Name + ".cmd", fmt.Appendf(nil, "@setlocal\r\n@set NUKA_NODE=\r\n@set NUKA_HOME=%s\r\n@\"%s\" %s %s \"%s\" %%*\r\n",
			s.Home, s.Program, LaunchCommand, l.PID, l.Command)
	}
	home := "unset NUKA_HOME NUKA_NODE"
	if s.Home != "" {
		home = "unset NUKA_NODE; NUKA_HOME=" + quote(s.Home) + "; export NUKA_HOME"
	}
	return l.Name, fmt.Appendf(nil, `#!/bin/sh
# A launcher of nuka. It never changes: nuka install, upgrade and remove write others.
nuka=%s
%s
[ -x "$nuka" ] || {
  echo "nuka: $0: nuka was moved away from $nuka" >&2
  echo "hint: call nuka where it is now, to write the launchers again: nuka install --relink" >&2
  exit 127
}
exec "$nuka" %s %s %s "$@"
`, quote(s.Program), home, LaunchCommand, l.PID, quote(l.Command))
}

// quote quotes a word for sh.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
