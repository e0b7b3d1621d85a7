package wasmrt

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/MordragT/nuka/pir/nuon"
)

// A wrapper is a program that runs another one with additional arguments and variables. "wrap exe" writes it.
// Its file consists of the line "#!nuka-wrap" and a line of canonical NUON.
type wrapper struct {
	// Exe is the absolute path of the program to run.
	Exe string
	// Args precede the caller's arguments.
	Args []string
	// Env are variables that replace the caller's.
	Env map[string]string
	// Out, if set, is a placeholder for the directory of the wrapper's own package in all of these fields, since a package has
	// no path while it is being built. At is the path of the wrapper in that directory.
	Out, At string
}

const (
	wrapMagic = "#!nuka-wrap\n"
	// maxHeader is how many bytes of a file are read to detect its type; a wrapper fits into it.
	maxHeader = 256 << 10
	// maxHops is how many scripts and wrappers may precede the module.
	maxHops = 8
)

// parseWrapper reads a wrapper. It accepts only the canonical form that "wrap exe" writes.
func parseWrapper(b []byte) (*wrapper, error) {
	rest, ok := bytes.CutPrefix(b, []byte(wrapMagic))
	if !ok {
		return nil, errors.New("wrapper: does not begin with " + strings.TrimSpace(wrapMagic))
	}
	if len(b) > maxHeader {
		return nil, fmt.Errorf("wrapper: longer than %d bytes", maxHeader)
	}
	v, err := nuon.Decode(bytes.TrimSuffix(rest, []byte("\n")))
	if err != nil {
		return nil, fmt.Errorf("wrapper: %w", err)
	}
	r, ok := v.(nuon.Record)
	if !ok {
		return nil, errors.New("wrapper: not a record")
	}
	w := &wrapper{}
	for k, v := range r {
		switch v := v.(type) {
		case string:
			if field := map[string]*string{"exe": &w.Exe, "out": &w.Out, "at": &w.At}[k]; field != nil && v != "" {
				*field = v
				continue
			}
		case nuon.List:
			if k == "args" && len(v) > 0 {
				for _, a := range v {
					s, ok := a.(string)
					if !ok {
						return nil, errors.New("wrapper: args must be strings")
					}
					w.Args = append(w.Args, s)
				}
				continue
			}
		case nuon.Record:
			if k == "env" && len(v) > 0 {
				w.Env = map[string]string{}
				for name, a := range v {
					s, ok := a.(string)
					if !ok || name == "" || strings.ContainsAny(name, "=\x00") {
						return nil, errors.New("wrapper: env must be named strings")
					}
					w.Env[name] = s
				}
				continue
			}
		}
		return nil, fmt.Errorf("wrapper: unexpected field %q", k)
	}
	if !path.IsAbs(w.Exe) {
		return nil, fmt.Errorf("wrapper: exe %q is not an absolute path", w.Exe)
	}
	if (w.Out == "") != (w.At == "") || w.Out != "" && (!path.IsAbs(w.Out) || path.Clean(w.Out) != w.Out || !fs.ValidPath(w.At)) {
		return nil, fmt.Errorf("wrapper: out %q and at %q are no folder and a file in it", w.Out, w.At)
	}
	return w, nil
}

// placed returns the wrapper as it is at path full: it replaces Out by the directory of the package.
func (w *wrapper) placed(full string) (*wrapper, error) {
	if w.Out == "" {
		return w, nil
	}
	root, ok := strings.CutSuffix(full, "/"+w.At)
	if !ok {
		return nil, fmt.Errorf("wrapper: it was made for %s of its package and is at %s", w.At, full)
	}
	p := &wrapper{Exe: replacePath(w.Exe, w.Out, root), Env: map[string]string{}}
	for _, a := range w.Args {
		p.Args = append(p.Args, replacePath(a, w.Out, root))
	}
	for k, v := range w.Env {
		p.Env[k] = replacePath(v, w.Out, root)
	}
	return p, nil
}

// replacePath replaces a path in a text, but not where the path is only the beginning of a longer name.
func replacePath(text, from, to string) string {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(text, from)
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		next, _ := utf8.DecodeRuneInString(after)
		if after != "" && (unicode.IsLetter(next) || unicode.IsDigit(next) || strings.ContainsRune("_-.", next)) {
			b.WriteString(from)
		} else {
			b.WriteString(to)
		}
		text = after
	}
}

// parseScript reads the first line of a script: the interpreter and at most one argument, as Linux does.
func parseScript(b []byte) (interp, arg string, err error) {
	line, ok := bytes.CutPrefix(b, []byte("#!"))
	if !ok {
		return "", "", errors.New("not a script")
	}
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	} else if len(line) > maxPath {
		return "", "", errors.New("the first line of the script is too long")
	}
	s := strings.Trim(string(line), " \t\r")
	if s == "" || !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		return "", "", errors.New("the script names no interpreter")
	}
	interp = s
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		interp, arg = s[:i], strings.Trim(s[i:], " \t")
	}
	return interp, arg, nil
}

// A NotFoundError says that no input package has a program with this name.
// It matches fs.ErrNotExist in errors.Is.
type NotFoundError struct {
	Name string
	// Similar lists existing names that resemble Name.
	Similar []string
}

func (e *NotFoundError) Error() string {
	s := fmt.Sprintf("program %q: not found in any input package", e.Name)
	if strings.Contains(e.Name, "/") {
		s = fmt.Sprintf("program %q: no such file", e.Name)
	}
	if len(e.Similar) > 0 {
		q := make([]string, len(e.Similar))
		for i, n := range e.Similar {
			q[i] = fmt.Sprintf("%q", n)
		}
		s += " (did you mean " + strings.Join(q, " or ") + "?)"
	}
	return s
}

// Is makes errors.Is(err, fs.ErrNotExist) true.
func (e *NotFoundError) Is(target error) bool { return target == fs.ErrNotExist }

// Lookup returns the path of a program. It searches Path for a name; a name with a slash is a path relative to dir.
// It does not resolve links in the result: a program sees the name by which it was called.
func (h *Host) Lookup(name, dir string) (string, error) { return h.lookup(h.FS, name, dir) }

func (h *Host) lookup(view *FS, name, dir string) (string, error) {
	if strings.Contains(name, "/") {
		full := name
		if !path.IsAbs(full) {
			full = path.Join(dir, name)
		}
		if l, e := view.walk(dir, name, true); e == eOK && l.info.kind == kindFile {
			return full, nil
		} else if e == eOK {
			return "", fmt.Errorf("program %q: %w", name, eNoexec)
		} else if e == eIO {
			return "", fmt.Errorf("program %q: %w", name, e)
		}
		return "", &NotFoundError{Name: name}
	}
	for _, p := range h.Path {
		full := join(p, name)
		if l, e := view.walk("/", full, true); e == eOK && l.info.kind == kindFile && name != "" && name != "." && name != ".." {
			return full, nil
		} else if e == eIO { // the program may be in p, so no later directory may supply it
			return "", fmt.Errorf("program %q: look in %s: %w", name, p, e)
		}
	}
	return "", &NotFoundError{Name: name, Similar: h.similar(name)}
}

// Native reports whether a program, found as Lookup does, is none of those that a Host runs, or is not found: then only the machine itself may be able
// to run it. A script counts as native. An error says that a folder or file could not be read.
func (h *Host) Native(name, dir string) (bool, error) {
	full, err := h.Lookup(name, dir)
	if err != nil {
		if errors.Is(err, eIO) {
			return false, err
		}
		return true, nil
	}
	f, i, e := h.FS.openFile(full)
	if e != eOK {
		return true, nil
	}
	defer f.close()
	head, err := readAll(f, min(i.size, int64(len(wrapMagic))))
	return !bytes.HasPrefix(head, []byte("\x00asm")) && string(head) != wrapMagic, err
}

// Programs lists the names of all programs in Path, sorted.
func (h *Host) Programs() []string {
	names := map[string]bool{}
	for _, p := range h.Path {
		l, e := h.FS.walk("/", p, true)
		if e != eOK || l.info.kind != kindDir {
			continue
		}
		list, _ := h.FS.readdir(l.path)
		for _, d := range list {
			if d.kind != kindDir {
				names[d.name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// similar returns up to three programs whose names differ by a typing error.
func (h *Host) similar(name string) []string {
	if len(name) > 64 {
		return nil
	}
	type match struct {
		name string
		far  int
	}
	var list []match
	most := max(1, len(name)/3)
	for _, n := range h.Programs() {
		if len(n) > 64 {
			continue
		}
		far := distance(name, n)
		if far > most && (len(name) < 3 || !strings.HasPrefix(n, name) && !strings.HasPrefix(name, n+"-")) {
			continue
		}
		list = append(list, match{n, far})
	}
	slices.SortStableFunc(list, func(a, b match) int { return a.far - b.far })
	var out []string
	for i := range min(len(list), 3) {
		out = append(out, list[i].name)
	}
	return out
}

// distance counts the insertions, removals, replacements and swaps that turn one string into the other.
func distance(a, b string) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
