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

// An Obstacle is a name that a system's usual file system cannot hold together with the other names of a tree.
// It does not affect the store or WebAssembly programs: both accept any name that cid.CheckName accepts.
type Obstacle struct {
	Path    string   `json:"path"`
	Why     string   `json:"why"`
	Systems []string `json:"systems"` // GOOS names: darwin, windows
}

// String returns a short text for display.
func (o Obstacle) String() string {
	return fmt.Sprintf("%q cannot be written on %s: %s", o.Path, strings.Join(o.Systems, " and "), o.Why)
}

// Obstacles returns the names that prevent a checkout of the tree on some systems, with the reasons.
// Paths are all paths of the tree, slash-separated, in any order. Linux has no obstacles.
// The result is sorted by path and has no more than most obstacles.
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

// windowsName returns the reason why Windows cannot have a file of that name, or "".
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
