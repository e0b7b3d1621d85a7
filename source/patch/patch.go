// Package patch applies unified diffs to a folder, as dpkg-source does, and never leaves the folder.
package patch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/MordragT/nuka/protocol"
)

// A filePatch is the part of a unified diff for one file.
type filePatch struct {
	from, to string // "" for /dev/null
	mode     string // of git's header: 100755 or 100644
	hunks    []hunk
}

// A hunk changes lines of a file. Lines include their ends; the last line of a file may have none.
type hunk struct {
	at                   int // line in the old file, counted from 1; 0 without old lines is the beginning
	before, after        []string
	leading, trailing    int // lines of context before and after the change
	oldLength, newLength int
}

func badPatch(format string, args ...any) error {
	return protocol.Errorf(protocol.Invalid, format, args...)
}

// Max bounds the bytes of a patch, and of each file that it changes.
const Max = 256 << 20

// Create creates a file below the folder; it fails if the file exists.
type Create func(name string, executable bool) (io.WriteCloser, error)

// Apply applies a unified diff as dpkg-source does (patch -p1 -F0): without fuzz, but lines may have moved.
// It reads and writes nothing through a link.
func Apply(ctx context.Context, root *os.Root, create Create, text []byte) error {
	patches, err := parsePatch(text)
	if err != nil {
		return err
	}
	for _, p := range patches {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.apply(root, create); err != nil {
			return err
		}
	}
	return nil
}

// parsePatch reads a unified diff. It ignores the text between the files.
func parsePatch(text []byte) ([]filePatch, error) {
	lines := strings.SplitAfter(string(text), "\n")
	var out []filePatch
	mode := ""
	for i := 0; i < len(lines); {
		line := strings.TrimRight(lines[i], "\r\n")
		switch {
		case strings.HasPrefix(line, "diff --git "):
			mode = ""
		case strings.HasPrefix(line, "new file mode "), strings.HasPrefix(line, "new mode "):
			mode = line[strings.LastIndex(line, " ")+1:]
		case line == "GIT binary patch":
			return nil, badPatch("line %d: a binary patch", i+1)
		case strings.HasPrefix(line, "--- ") && i+1 < len(lines) && strings.HasPrefix(lines[i+1], "+++ "):
			from, err := patchName(line[4:])
			if err != nil {
				return nil, err
			}
			to, err := patchName(strings.TrimRight(lines[i+1][4:], "\r\n"))
			if err != nil {
				return nil, err
			}
			p := filePatch{from: from, to: to, mode: mode}
			mode = ""
			i += 2
			for i < len(lines) && strings.HasPrefix(lines[i], "@@ -") {
				h, n, err := parseHunk(lines[i:])
				if err != nil {
					return nil, fmt.Errorf("line %d: %w", i+1, err)
				}
				p.hunks = append(p.hunks, h)
				i += n
			}
			if len(p.hunks) == 0 {
				return nil, badPatch("line %d: a file without changes", i+1)
			}
			out = append(out, p)
			continue
		}
		i++
	}
	return out, nil
}

// patchName returns the name without its first folder, "" for /dev/null.
func patchName(text string) (string, error) {
	text, _, _ = strings.Cut(text, "\t")
	text = strings.TrimSpace(text)
	if at := strings.Index(text, " "); at > 0 && !strings.HasPrefix(text, `"`) {
		// Old tools put the time after a space.
		if _, err := strconv.Atoi(strings.SplitN(text[at+1:], "-", 2)[0]); err == nil {
			text = text[:at]
		}
	}
	if strings.HasPrefix(text, `"`) {
		unquoted, err := strconv.Unquote(text)
		if err != nil {
			return "", badPatch("a name that cannot be read: %.100q", text)
		}
		text = unquoted
	}
	if text == "/dev/null" {
		return "", nil
	}
	_, name, ok := strings.Cut(text, "/")
	name = strings.TrimLeft(name, "/")
	if !ok || !fs.ValidPath(name) || name == "." {
		return "", badPatch("a name that leads out of the source, or nowhere: %.100q", text)
	}
	return name, nil
}

// parseHunk reads one hunk and returns how many lines it has.
func parseHunk(lines []string) (hunk, int, error) {
	var h hunk
	field := strings.Fields(lines[0])
	if len(field) < 4 || field[3] != "@@" || !strings.HasPrefix(field[2], "+") {
		return h, 0, badPatch("a hunk that cannot be read: %.100q", lines[0])
	}
	var err1, err2 error
	h.at, h.oldLength, err1 = hunkRange(field[1][1:])
	_, h.newLength, err2 = hunkRange(field[2][1:])
	if err := errors.Join(err1, err2); err != nil {
		return h, 0, badPatch("a hunk that cannot be read: %.100q", lines[0])
	}
	i, changed := 1, false
	var last *[]string
	for ; i < len(lines); i++ {
		line := lines[i]
		if strings.HasPrefix(line, `\`) { // no newline at the end of the file
			cut := func(list []string) {
				if n := len(list); n > 0 {
					list[n-1] = strings.TrimSuffix(list[n-1], "\n")
				}
			}
			if last == nil {
				cut(h.before)
				cut(h.after)
			} else {
				cut(*last)
			}
			continue
		}
		if len(h.before) >= h.oldLength && len(h.after) >= h.newLength {
			break
		}
		switch {
		case line == "":
			return h, 0, badPatch("a hunk that is cut off")
		case line == "\n" || line == "\r\n" || line[0] == ' ': // some editors remove the space of an empty context line
			text := strings.TrimPrefix(line, " ")
			h.before, h.after, last = append(h.before, text), append(h.after, text), nil
			if changed {
				h.trailing++
			} else {
				h.leading++
			}
			continue
		case line[0] == '-':
			h.before, last = append(h.before, line[1:]), &h.before
		case line[0] == '+':
			h.after, last = append(h.after, line[1:]), &h.after
		default:
			return h, 0, badPatch("a line that is not part of a hunk: %.100q", line)
		}
		changed, h.trailing = true, 0
	}
	if len(h.before) != h.oldLength || len(h.after) != h.newLength {
		return h, 0, badPatch("a hunk with other numbers of lines than it declares")
	}
	return h, i, nil
}

// hunkRange reads "12,3" or "12".
func hunkRange(text string) (at, length int, err error) {
	first, second, ok := strings.Cut(text, ",")
	length = 1
	if at, err = strconv.Atoi(first); err == nil && ok {
		length, err = strconv.Atoi(second)
	}
	if at < 0 || length < 0 || at > Max || length > Max {
		err = errors.New("out of range")
	}
	return at, length, err
}

// apply changes one file.
func (p *filePatch) apply(root *os.Root, create Create) error {
	name, err := p.target(root)
	if err != nil {
		return err
	}
	var content []byte
	exec, exists := false, false
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return badPatch("%s: it is not a file", name)
	case info.Size() > Max:
		return protocol.Errorf(protocol.Exhausted, "%s: more than the limit of %d bytes", name, Max)
	default:
		exec, exists = info.Mode()&0o111 != 0, true
		if content, err = root.ReadFile(name); err != nil {
			return err
		}
	}
	if !exists && p.hunks[0].oldLength > 0 {
		return badPatch("%s: no such file", name)
	}
	if p.from == "" && len(content) > 0 {
		return badPatch("%s: it is to be made, and is there already", name)
	}
	changed, err := p.change(content)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if exists {
		if err := root.Remove(name); err != nil {
			return err
		}
	}
	if len(changed) == 0 {
		return removeEmpty(root, path.Dir(name))
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if p.mode != "" {
		exec = p.mode == "100755"
	}
	f, err := create(name, exec)
	if err != nil {
		return err
	}
	_, err = f.Write(changed)
	return errors.Join(err, f.Close())
}

// removeEmpty removes the folders that are empty after a file was removed, as patch -E does.
func removeEmpty(root *os.Root, dir string) error {
	for ; dir != "."; dir = path.Dir(dir) {
		if root.Remove(dir) != nil {
			break // it is not empty
		}
	}
	return nil
}

// target returns the file to change: the one that exists, or the one to create.
func (p *filePatch) target(root *os.Root) (string, error) {
	names := []string{p.to, p.from}
	if len(p.from) < len(p.to) && p.from != "" { // such as Makefile before Makefile.orig
		names = []string{p.from, p.to}
	}
	best := ""
	for _, name := range names {
		if name == "" {
			continue
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if info, err := root.Lstat(dir); err == nil && !info.IsDir() {
				return "", badPatch("%s: it lies below a link or a file", name)
			}
		}
		if _, err := root.Lstat(name); err == nil {
			return name, nil
		}
		if best == "" {
			best = name
		}
	}
	if best == "" {
		return "", badPatch("a change of no file")
	}
	return best, nil
}

// change returns the content after all hunks. Old lines must match the patch exactly, but may have moved.
func (p *filePatch) change(content []byte) ([]byte, error) {
	lines := strings.SplitAfter(string(content), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	var out bytes.Buffer
	done, moved := 0, 0 // done: lines of the old file that are written; moved: how far the last hunk was from its stated position
	for i, h := range p.hunks {
		guess := h.at - 1 + moved
		if h.oldLength == 0 {
			guess++
		}
		at, ok := h.find(lines, guess, done)
		if !ok {
			return nil, badPatch("hunk %d, for line %d, does not fit", i+1, h.at)
		}
		moved += at - guess
		for _, line := range lines[done:at] {
			out.WriteString(line)
		}
		for _, line := range h.after {
			out.WriteString(line)
		}
		done = at + len(h.before)
	}
	for _, line := range lines[done:] {
		out.WriteString(line)
	}
	return out.Bytes(), nil
}

// find returns the position of the old lines nearest to guess, at or after done.
// If a hunk has less context before the change than after it, it must match at the beginning of the file; the other way round, at the end.
func (h *hunk) find(lines []string, guess, done int) (int, bool) {
	last := len(lines) - len(h.before)
	fits := func(at int) bool {
		if at < done || at > last || h.leading < h.trailing && at != 0 || h.trailing < h.leading && at != last {
			return false
		}
		for i, line := range h.before {
			if lines[at+i] != line {
				return false
			}
		}
		return true
	}
	if len(h.before) == 0 {
		at := max(done, min(guess, len(lines)))
		return at, at >= done && at <= len(lines)
	}
	for distance := 0; distance <= len(lines); distance++ {
		if fits(guess + distance) {
			return guess + distance, true
		}
		if fits(guess - distance) {
			return guess - distance, true
		}
	}
	return 0, false
}
