package apt

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/MordragT/nuka/protocol"
)

// A Lock is the choice of packages that a package set uses, for one architecture. Its file is a Nushell module.
type Lock struct {
	Arch     string
	Suites   []SuiteDate
	Roots    map[string][]string // by the name of the group
	Packages []Pin               // sorted by name
}

const (
	lockHead  = "# nuka lock 1: Debian packages for "
	lockTail  = ". nuka lock writes this file: do not edit it."
	lockSum   = "# sha256 "
	lockDate  = time.RFC3339
	lockTable = "# name version sha256 bytes KiB architecture folder depends\nexport const packages = r#'\n"
	maxLock   = 64 << 20
)

// IsLock reports whether a file begins as a lock file does.
func IsLock(file []byte) bool { return bytes.HasPrefix(file, []byte(lockHead)) }

// Encode returns the file. Equal locks have equal files. Each package is one line.
func (l *Lock) Encode() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "export const arch = %q\nexport const suites = [\n", l.Arch)
	for _, s := range l.Suites {
		fmt.Fprintf(&b, "  {name: %q, date: %q}\n", s.Name, s.Date.UTC().Format(lockDate))
	}
	b.WriteString("]\nexport const roots = {\n")
	for _, group := range slices.Sorted(maps.Keys(l.Roots)) {
		fmt.Fprintf(&b, "  %q: [", group)
		for i, name := range l.Roots[group] {
			if i > 0 {
				b.WriteByte(' ')
			}
			fmt.Fprintf(&b, "%q", name)
		}
		b.WriteString("]\n")
	}
	b.WriteString("}\n" + lockTable)
	for _, p := range l.Packages {
		b.WriteString(p.line())
	}
	b.WriteString("'#\n")
	body := b.String()
	return fmt.Appendf(nil, "%s%s%s\n%s%x\n%s", lockHead, l.Arch, lockTail, lockSum, sha256.Sum256([]byte(body)), body)
}

// DecodeLock reads a lock file. It accepts exactly what Encode returns: an edited file is an error.
func DecodeLock(file []byte) (*Lock, error) {
	if len(file) > maxLock {
		return nil, protocol.Errorf(protocol.Exhausted, "the lock file has more than %d bytes", maxLock)
	}
	first, rest, _ := strings.Cut(string(file), "\n")
	sum, body, ok := strings.Cut(rest, "\n")
	if !ok || !strings.HasPrefix(first, lockHead) || !strings.HasPrefix(sum, lockSum) {
		return nil, protocol.Errorf(protocol.Invalid, "it is no lock file").WithHint("nuka lock writes lock files")
	}
	if got := fmt.Sprintf("%x", sha256.Sum256([]byte(body))); got != strings.TrimPrefix(sum, lockSum) {
		return nil, edited("its checksum is %.64s, and its text has %s", strings.TrimPrefix(sum, lockSum), got)
	}
	l, err := decodeLock(body)
	if err != nil {
		return nil, edited("%v", err)
	}
	if !bytes.Equal(l.Encode(), file) {
		return nil, edited("it is not in the form that nuka writes")
	}
	return l, nil
}

// edited returns the error about a lock file that somebody changed.
func edited(format string, args ...any) error {
	return protocol.Errorf(protocol.Damaged, "the lock file was changed by hand or damaged: "+format, args...).
		WithHint("get it back from version control; to lock anew, remove the file and run nuka lock")
}

func decodeLock(body string) (*Lock, error) {
	l := &Lock{Roots: map[string][]string{}}
	head, table, ok := strings.Cut(body, lockTable)
	table, end := strings.CutSuffix(table, "'#\n")
	if !ok || !end {
		return nil, fmt.Errorf("the table of packages is missing")
	}
	section := ""
	for line := range strings.Lines(head) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "export const arch = "):
			l.Arch = strings.Trim(strings.TrimPrefix(line, "export const arch = "), `"`)
		case line == "export const suites = [", line == "export const roots = {":
			section = line
		case line == "]", line == "}":
			section = ""
		case section == "export const suites = [":
			s, err := parseSuite(line)
			if err != nil {
				return nil, err
			}
			l.Suites = append(l.Suites, s)
		case section == "export const roots = {":
			group, names, ok := strings.Cut(line, ": [")
			if !ok {
				return nil, fmt.Errorf("the line %.100q", line)
			}
			list := strings.Fields(strings.ReplaceAll(strings.TrimSuffix(names, "]"), `"`, ""))
			l.Roots[strings.Trim(strings.TrimSpace(group), `"`)] = list
		default:
			return nil, fmt.Errorf("the line %.100q", line)
		}
	}
	if !isWord(l.Arch) {
		return nil, fmt.Errorf("the architecture %.100q", l.Arch)
	}
	for group, names := range l.Roots {
		if !isWord(group) || slices.ContainsFunc(names, func(n string) bool { return !IsName(n) }) {
			return nil, fmt.Errorf("the roots of %.100q", group)
		}
	}
	for line := range strings.Lines(table) {
		p, err := parsePin(strings.TrimSuffix(line, "\n"), l.Arch)
		if err != nil {
			return nil, err
		}
		if n := len(l.Packages); n > 0 && l.Packages[n-1].Name >= p.Name {
			return nil, fmt.Errorf("the package %s is not in order", p.Name)
		}
		l.Packages = append(l.Packages, p)
	}
	return l, l.checkEdges()
}

// checkEdges checks that each package that another needs is there.
func (l *Lock) checkEdges() error {
	have := map[string]bool{}
	for _, p := range l.Packages {
		have[p.Name] = true
	}
	for _, p := range l.Packages {
		for _, name := range p.Depends {
			if !have[name] {
				return fmt.Errorf("the package %s, which %s needs, is missing", name, p.Name)
			}
		}
	}
	return nil
}

func parseSuite(line string) (s SuiteDate, err error) {
	name, date, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, `  {name: "`), `"}`), `", date: "`)
	if !ok || !isWord(name) {
		return s, fmt.Errorf("the line %.100q", line)
	}
	at, err := time.Parse(lockDate, date)
	return SuiteDate{name, at.UTC()}, err
}

// line returns the pin's line. It is short, because Nushell reads the whole table for each evaluation: the digest is in base64, and of the path only the
// folder below pool is there, unless the file has another name than Debian gives it.
func (p *Pin) line() string {
	folder := p.Path
	if dir, ok := strings.CutSuffix(p.Path, "/"+p.file()); ok {
		folder = strings.TrimPrefix(dir, "pool/")
	}
	return fmt.Sprintf("%s %s %s %d %d %s %s %s\n", p.Name, p.Version, base64.StdEncoding.EncodeToString(p.SHA256[:]), p.Size, p.Installed>>10, p.Arch, folder,
		strings.Join(p.Depends, ","))
}

// file returns the name that Debian gives the file of a package: the version is without its epoch.
func (p *Pin) file() string {
	version := p.Version
	if _, rest, ok := strings.Cut(version, ":"); ok {
		version = rest
	}
	return p.Name + "_" + version + "_" + p.Arch + ".deb"
}

func parsePin(line, arch string) (p Pin, err error) {
	f := strings.Split(line, " ")
	if len(f) != 8 {
		return p, fmt.Errorf("the line %.100q", line)
	}
	p = Pin{Name: f[0], Version: f[1], Arch: f[5], Path: f[6]}
	if !strings.HasSuffix(p.Path, ".deb") {
		p.Path = "pool/" + p.Path + "/" + p.file()
	}
	sum, err := base64.StdEncoding.DecodeString(f[2])
	if err != nil || len(sum) != len(p.SHA256) || p.Arch != arch && p.Arch != "all" {
		return p, fmt.Errorf("the line %.100q", line)
	}
	copy(p.SHA256[:], sum)
	size, err := strconv.ParseUint(f[3], 10, 62)
	if err != nil {
		return p, err
	}
	kib, err := strconv.ParseUint(f[4], 10, 40)
	if err != nil {
		return p, err
	}
	p.Size = int64(size)
	p.Installed = int64(kib) << 10
	if f[7] != "" {
		p.Depends = strings.Split(f[7], ",")
	}
	return p, (&Package{Name: p.Name, Version: p.Version, Path: p.Path}).check()
}

// isWord reports whether s can be the name of a suite, a group or an architecture.
func isWord(s string) bool {
	return s != "" && len(s) <= maxName && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// Date returns the date of a suite's index when the lock was made, or zero.
func (l *Lock) Date(suite string) time.Time {
	for _, s := range l.Suites {
		if s.Name == suite {
			return s.Date
		}
	}
	return time.Time{}
}

// Closure returns the pins that some packages need, themselves included, sorted by name.
func (l *Lock) Closure(roots []string) ([]Pin, error) {
	byName := map[string]*Pin{}
	for i := range l.Packages {
		byName[l.Packages[i].Name] = &l.Packages[i]
	}
	in := map[string]bool{}
	var out []Pin
	queue := slices.Clone(roots)
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if in[name] {
			continue
		}
		p := byName[name]
		if p == nil {
			return nil, protocol.Errorf(protocol.NotFound, "the lock file has no package %.100q", name).
				WithHint("add it to the roots of the set and run nuka lock")
		}
		in[name] = true
		out = append(out, *p)
		queue = append(queue, p.Depends...)
	}
	slices.SortFunc(out, func(a, b Pin) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// A Change is a package that differs between two locks. A version of "" means that the lock has no such package.
type Change struct {
	Name string `json:"name"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

// Changes returns the packages that differ, sorted by name. A package with other bytes under the same version differs, too.
func Changes(before, after *Lock) (out []Change) {
	old := map[string]Pin{}
	if before != nil {
		for _, p := range before.Packages {
			old[p.Name] = p
		}
	}
	for _, p := range after.Packages {
		o := old[p.Name]
		delete(old, p.Name)
		if o.Version != p.Version || o.SHA256 != p.SHA256 {
			out = append(out, Change{p.Name, o.Version, p.Version})
		}
	}
	for name, p := range old {
		out = append(out, Change{name, p.Version, ""})
	}
	slices.SortFunc(out, func(a, b Change) int { return strings.Compare(a.Name, b.Name) })
	return out
}
