package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/MordragT/nuka/protocol"
)

// A treeWriter writes an archive's entries into a sink, and refuses what does not belong into a package.
type treeWriter struct {
	ctx           context.Context
	sink          Sink
	limits        Limits
	strip         int
	absoluteLinks bool

	entries int
	names   int // bytes of all names
	bytes   int64
	kinds   map[string]byte   // what stands at each name: 'd', 'f', 'x' (executable file), 'l'
	sizes   map[string]int64  // of files
	folded  map[string]string // names as a file system that ignores case and composition sees them
	links   []link            // checked and written last, so that nothing is written through them
	fold    cases.Caser
}

type link struct{ name, target string }

func newTreeWriter(ctx context.Context, sink Sink, o *UnpackOptions) *treeWriter {
	return &treeWriter{
		ctx: ctx, sink: sink, limits: o.Limits.withDefaults(), strip: o.Strip,
		kinds: map[string]byte{"": 'd'}, sizes: map[string]int64{}, folded: map[string]string{}, fold: cases.Fold(),
	}
}

func refuse(name, why string) error {
	return protocol.Errorf(protocol.Invalid, "archive entry %.200q: %s", name, why).
		WithHint("the archive is broken or hostile; do not use it")
}

// maxDepth is how many folders may lie in one another, nameBytes how long names may be on average.
// Both bound what names cost in memory and time, which the number of entries alone does not.
const (
	maxDepth  = 256
	nameBytes = 256
)

// admit counts an entry of the archive and its bytes against the limits, whether or not anything becomes of it:
// what is stripped or repeated takes time as well.
func (w *treeWriter) admit(raw string, size int64) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.entries++; w.entries > w.limits.Files {
		return protocol.Errorf(protocol.Exhausted, "archive: more than the limit of %d entries", w.limits.Files)
	}
	if w.names += len(raw); w.names/nameBytes > max(w.limits.Files, 1<<10) {
		return protocol.Errorf(protocol.Exhausted, "archive: names longer than %d bytes on average", nameBytes)
	}
	if size < 0 || size > w.limits.Unpacked-w.bytes {
		return protocol.Errorf(protocol.Exhausted, "archive entry %.200q: more than the limit of %d bytes", raw, w.limits.Unpacked)
	}
	w.bytes += size
	return nil
}

// headerBytes is how much of an archive may be anything but content, for each entry that is allowed.
const headerBytes = 4 << 10

// A boundedReader is an archive as it was before it was compressed.
// It ends when the context does, and where no archive within the limits can be that long:
// headers and skipped content are entries only after they have been read.
type boundedReader struct {
	ctx  context.Context
	r    io.Reader
	left int64
	zero int64 // how many of the last bytes are zero
}

func (w *treeWriter) bounded(r io.Reader) *boundedReader {
	return &boundedReader{ctx: w.ctx, r: r, left: w.limits.Unpacked + int64(w.limits.Files)*headerBytes + maxPadding}
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if b.left <= 0 {
		return 0, protocol.Errorf(protocol.Exhausted, "archive: its headers are longer than the limits allow")
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	end := int64(n - len(bytes.TrimRight(p[:n], "\x00")))
	if end == int64(n) {
		end += b.zero
	}
	b.zero = end
	return n, err
}

// clean returns the entry's name below the root, "" if stripping leaves nothing.
func (w *treeWriter) clean(name string) (string, error) {
	if name == "" || len(name) > 4096 || !utf8.ValidString(name) {
		return "", refuse(name, "an empty, overlong or ill-encoded name")
	}
	if strings.HasPrefix(name, "/") {
		return "", refuse(name, "an absolute name")
	}
	for _, r := range name {
		switch {
		case r == '\\':
			return "", refuse(name, "a backslash in the name")
		case unicode.IsControl(r):
			return "", refuse(name, "a control character in the name")
		case unicode.Is(unicode.Bidi_Control, r):
			return "", refuse(name, "a character in the name that turns the writing direction")
		}
	}
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			return "", refuse(name, "a name that leads out of the archive")
		case len(part) > 255:
			return "", refuse(name, "an overlong name")
		case isDevice(part):
			return "", refuse(name, "a name that is a device on Windows")
		}
		parts = append(parts, part)
	}
	if len(parts) > maxDepth {
		return "", refuse(name, fmt.Sprintf("more than %d folders deep", maxDepth))
	}
	if len(parts) <= w.strip {
		return "", nil
	}
	return strings.Join(parts[w.strip:], "/"), nil
}

func isDevice(part string) bool {
	switch strings.ToUpper(part) {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	if len(part) == 4 && part[3] >= '1' && part[3] <= '9' {
		three := strings.ToUpper(part[:3])
		return three == "COM" || three == "LPT"
	}
	return false
}

// claim takes a name for an entry of the given kind, with the folders above it.
func (w *treeWriter) claim(raw, name string, kind byte) error {
	if dir := path.Dir(name); dir != "." && w.kinds[dir] != 'd' {
		if w.kinds[dir] != 0 {
			return refuse(raw, fmt.Sprintf("it lies below %q, which is no folder", dir))
		}
		if err := w.admit(dir, 0); err != nil {
			return err
		}
		if err := w.claim(raw, dir, 'd'); err != nil {
			return err
		}
		if err := w.sink.Mkdir(dir); err != nil {
			return err
		}
	}
	switch {
	case w.kinds[name] == 'd' && kind == 'd':
		return nil
	case w.kinds[name] != 0:
		return refuse(raw, "it occurs twice")
	}
	folded := w.fold.String(norm.NFC.String(name))
	if other, taken := w.folded[folded]; taken {
		return refuse(raw, fmt.Sprintf("its name is %q where case does not count", other))
	}
	w.folded[folded] = name
	w.kinds[name] = kind
	return nil
}

func (w *treeWriter) dir(raw string) error {
	name, err := w.clean(raw)
	if err != nil || name == "" || w.kinds[name] == 'd' {
		return err
	}
	if err := w.claim(raw, name, 'd'); err != nil {
		return err
	}
	return w.sink.Mkdir(name)
}

func (w *treeWriter) file(raw string, size int64, executable bool, content io.Reader) error {
	name, err := w.clean(raw)
	if err != nil || name == "" {
		return err
	}
	kind := byte('f')
	if executable {
		kind = 'x'
	}
	if err := w.claim(raw, name, kind); err != nil {
		return err
	}
	w.sizes[name] = size
	f, err := w.sink.Create(name, executable)
	if err != nil {
		return err
	}
	defer f.Close()
	// One byte more than declared shows a content that does not match its header.
	n, err := io.Copy(f, io.LimitReader(content, size+1))
	if err == nil && n != size {
		return refuse(raw, fmt.Sprintf("%d bytes of content, %d declared", n, size))
	}
	if err != nil {
		return fmt.Errorf("entry %.200q: %w", raw, err)
	}
	return f.Close()
}

func (w *treeWriter) symlink(raw, target string) error {
	name, err := w.clean(raw)
	if err != nil || name == "" {
		return err
	}
	if err := w.claim(raw, name, 'l'); err != nil {
		return err
	}
	switch {
	case target == "" || strings.ContainsAny(target, "\\\x00") || !utf8.ValidString(target) || len(target) > 4096:
		return refuse(raw, fmt.Sprintf("link to %.100q", target))
	case strings.HasPrefix(target, "/"):
		if !w.absoluteLinks {
			return refuse(raw, fmt.Sprintf("link to the absolute path %.100q", target))
		}
	case !staysInside(path.Dir(name), target):
		return refuse(raw, fmt.Sprintf("link to %.100q, out of the archive", target))
	}
	w.links = append(w.links, link{name, target})
	return nil
}

// staysInside reports whether target, walked from dir step by step, never leaves the root.
func staysInside(dir, target string) bool {
	depth := 0
	if dir != "." {
		depth = strings.Count(dir, "/") + 1
	}
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return false
			}
		default:
			depth++
		}
	}
	return true
}

// hardLink copies a file that the archive has already brought.
func (w *treeWriter) hardLink(raw, target string) error {
	from, err := w.clean(target)
	if err != nil {
		return refuse(raw, fmt.Sprintf("hard link to %.100q, out of the archive", target))
	}
	kind := w.kinds[from]
	if kind != 'f' && kind != 'x' {
		return refuse(raw, fmt.Sprintf("hard link to %.100q, which is no file before it in the archive", target))
	}
	if err := w.admit("", w.sizes[from]); err != nil {
		return err
	}
	f, err := w.sink.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return w.file(raw, w.sizes[from], kind == 'x', f)
}

// finish writes the links.
func (w *treeWriter) finish() error {
	if len(w.kinds) == 1 {
		return errors.New("archive: nothing is in it, or stripping leaves nothing")
	}
	for _, l := range w.links {
		if w.climbsThroughLink(l) {
			return refuse(l.name, fmt.Sprintf("link to %.100q, which climbs out of another link", l.target))
		}
		if err := w.sink.Symlink(l.target, l.name); err != nil {
			return err
		}
	}
	return nil
}

// climbsThroughLink reports whether l's target goes through another link and up again:
// where that leads cannot be told from the names.
func (w *treeWriter) climbsThroughLink(l link) bool {
	at, through := path.Dir(l.name), false
	for part := range strings.SplitSeq(l.target, "/") {
		if part == ".." && through {
			return true
		}
		at = path.Join(at, part)
		through = through || w.kinds[at] == 'l'
	}
	return false
}
