package archive

import (
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// An Obstacle is a name that a system's usual file system cannot hold beside the other names of a tree.
// The store and programs in WebAssembly are not concerned: both keep any name that cid.CheckName takes.
type Obstacle struct {
	Path    string   `json:"path"`
	Why     string   `json:"why"`
	Systems []string `json:"systems"` // as GOOS names them: darwin, windows
}

// String returns a short text for people.
func (o Obstacle) String() string {
	return fmt.Sprintf("%q cannot be written on %s: %s", o.Path, strings.Join(o.Systems, " and "), o.Why)
}

// Obstacles says on which systems a tree cannot be checked out as it is, and why.
// The paths of everything in the tree are slash-separated, in any order; there is no obstacle on Linux.
// The result is sorted by path and has at most that many obstacles.
func Obstacles(paths iter.Seq[string], most int) []Obstacle {
	var out []Obstacle
	fold := cases.Fold()
	seen := map[string]string{}
	for _, p := range slices.Sorted(paths) {
		if len(out) >= most {
			break
		}
		if why := windowsName(path.Base(p)); why != "" {
			out = append(out, Obstacle{p, why, []string{"windows"}})
		}
		folded := fold.String(norm.NFC.String(p))
		if other, taken := seen[folded]; taken {
			out = append(out, Obstacle{p, fmt.Sprintf("it is %q where case and composition are ignored", other), []string{"darwin", "windows"}})
			continue
		}
		seen[folded] = p
	}
	return out[:min(len(out), most)]
}

// windowsName says why Windows has no file of that name, or "".
func windowsName(name string) string {
	for _, r := range name {
		switch {
		case strings.ContainsRune(`<>:"\|?*`, r):
			return fmt.Sprintf("the character %q", r)
		case r < ' ' || unicode.Is(unicode.Cc, r):
			return "a control character"
		}
	}
	if strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ") {
		return "it ends with a dot or a space"
	}
	stem, _, _ := strings.Cut(name, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return "the name of a device"
	}
	if n := []rune(stem); len(n) == 4 && (string(n[:3]) == "COM" || string(n[:3]) == "LPT") && strings.ContainsRune("123456789¹²³", n[3]) {
		return "the name of a device"
	}
	return ""
}
