package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// The kinds of what stands at a name.
const (
	isDir        = 'd'
	isFile       = 'f'
	isExecutable = 'x'
	isLink       = 'l'
	isLeftOut    = 'o' // a device or another file that no tree holds
)

// A treeWriter writes an archive's entries into a sink, as the tools that the archive is made for would,
// and refuses what two of them would write differently or outside of the folder.
type treeWriter struct {
	ctx    context.Context
	sink   Sink
	limits Limits
	strip  int
	moved  func()

	entries int
	names   int // bytes of all names
	bytes   int64
	kinds   map[string]byte
	sizes   map[string]int64  // of files
	targets map[string]string // of links, which are written last, so that nothing is written through them
	turned  map[string]string // names that the archive has in another encoding, with their bytes there
	result  Result
}

func newTreeWriter(ctx context.Context, sink Sink, o *Options) *treeWriter {
	return &treeWriter{
		ctx: ctx, sink: sink, limits: o.Limits.withDefaults(), strip: o.Strip, moved: o.Progress,
		kinds: map[string]byte{"": isDir}, sizes: map[string]int64{}, targets: map[string]string{}, turned: map[string]string{},
	}
}

func refuse(name, why string) error {
	return protocol.Errorf(protocol.Invalid, "archive entry %.200q: %s", name, why).
		WithHint("the archive is broken or hostile; do not use it")
}

// ambiguous refuses what two tools would write differently.
func ambiguous(name, why string) error {
	return protocol.Errorf(protocol.Invalid, "archive entry %.200q: %s", name, why).
		WithHint("tools differ about it: take the archive as it is with --unpack file, and unpack it in the build with the tool that is meant")
}

// maxDepth is how many folders may lie in one another, nameBytes how long names may be on average.
// Both bound what names cost in memory and time, which the number of entries alone does not.
// maxNamed is how many entries a result names one by one.
const (
	maxDepth  = 256
	nameBytes = 256
	maxNamed  = 100
)

// admit counts an entry of the archive and its bytes against the limits, whether or not anything becomes of it:
// what is stripped or repeated takes time as well.
func (w *treeWriter) admit(raw string, size int64) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.moved != nil {
		w.moved()
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
	ctx   context.Context
	moved func()
	r     io.Reader
	left  int64
	zero  int64 // how many of the last bytes are zero
}

func (w *treeWriter) bounded(r io.Reader) *boundedReader {
	return &boundedReader{ctx: w.ctx, moved: w.moved, r: r, left: w.limits.Unpacked + int64(w.limits.Files)*headerBytes + maxPadding}
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if b.left <= 0 {
		return 0, protocol.Errorf(protocol.Exhausted, "archive: its headers are longer than the limits allow")
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	if b.left -= int64(n); n > 0 && b.moved != nil {
		b.moved()
	}
	end := int64(n - len(bytes.TrimRight(p[:n], "\x00")))
	if end == int64(n) {
		end += b.zero
	}
	b.zero = end
	return n, err
}

// claim takes a name for an entry of the given kind, with the folders above it.
// What the name had before is gone: of the same entry twice the later one counts.
func (w *treeWriter) claim(raw, name string, kind byte) error {
	if dir := path.Dir(name); dir != "." && w.kinds[dir] != isDir {
		if w.kinds[dir] == isLink {
			return refuse(raw, fmt.Sprintf("it is written through the link %.200q", dir))
		}
		if w.kinds[dir] != 0 {
			return refuse(raw, fmt.Sprintf("it is below %.200q, which is not a folder", dir))
		}
		if err := w.admit(dir, 0); err != nil {
			return err
		}
		if err := w.claim(raw, dir, isDir); err != nil {
			return err
		}
		if err := w.sink.Mkdir(dir); err != nil {
			return err
		}
	}
	before := w.kinds[name]
	if before != 0 && (before == isDir) != (kind == isDir) {
		return ambiguous(raw, "it occurs twice, once as a folder")
	}
	switch before {
	case isFile, isExecutable:
		if err := w.sink.Remove(name); err != nil {
			return err
		}
		delete(w.sizes, name)
	case isLink:
		delete(w.targets, name)
	}
	w.kinds[name] = kind
	return nil
}

func (w *treeWriter) dir(raw string) error {
	name, err := w.clean(raw)
	if err != nil || name == "" || w.kinds[name] == isDir {
		return err
	}
	if err := w.claim(raw, name, isDir); err != nil {
		return err
	}
	return w.sink.Mkdir(name)
}

func (w *treeWriter) file(raw string, size int64, executable bool, content io.Reader) error {
	name, err := w.clean(raw)
	if err != nil || name == "" {
		return err
	}
	kind := byte(isFile)
	if executable {
		kind = isExecutable
	}
	if err := w.claim(raw, name, kind); err != nil {
		return err
	}
	w.sizes[name] = size
	f, err := w.sink.Create(name, executable)
	if err != nil {
		return fmt.Errorf("entry %.200q: %w", raw, err)
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

// symlink keeps a link as the text that it is.
// Where it leads is not asked: links are followed in the programs' own name space, where the root is not this machine's.
func (w *treeWriter) symlink(raw, target string) error {
	name, err := w.clean(raw)
	if err != nil || name == "" {
		return err
	}
	target = linkTarget(target)
	if err := cid.CheckTarget(target); err != nil {
		return refuse(raw, fmt.Sprintf("a link that no tree can hold: %v", err))
	}
	if err := w.claim(raw, name, isLink); err != nil {
		return err
	}
	w.targets[name] = target
	return nil
}

// leaveOut drops an entry that no tree holds.
// As the archive's own tool would, it takes the name from what had it before.
func (w *treeWriter) leaveOut(raw, what string) error {
	name, err := w.clean(raw)
	if err != nil || name == "" {
		return err
	}
	if err := w.claim(raw, name, isLeftOut); err != nil {
		return err
	}
	if len(w.result.LeftOut) < maxNamed {
		w.result.LeftOut = append(w.result.LeftOut, fmt.Sprintf("%.200q (%s)", name, what))
	}
	w.result.Omitted++
	return nil
}

// hardLink repeats an entry that the archive has already brought. A file is copied: the store keeps it once.
func (w *treeWriter) hardLink(raw, target string) error {
	from, err := w.clean(target)
	if err != nil {
		return refuse(raw, fmt.Sprintf("hard link to %.100q, out of the archive", target))
	}
	to, err := w.clean(raw)
	if err != nil || to == "" {
		return err
	}
	kind := w.kinds[from]
	switch {
	case kind == 0 || kind == isDir:
		return refuse(raw, fmt.Sprintf("hard link to %.100q, which is not an earlier file of the archive", target))
	case from == to:
		return nil
	case kind == isLink:
		return w.symlink(raw, w.targets[from])
	case kind == isLeftOut:
		return w.leaveOut(raw, fmt.Sprintf("a hard link to %.100q, which is left out", target))
	}
	if err := w.admit("", w.sizes[from]); err != nil {
		return err
	}
	f, err := w.sink.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return w.file(raw, w.sizes[from], kind == isExecutable, f)
}

// finish writes the links.
func (w *treeWriter) finish() error {
	if len(w.kinds) == 1 {
		return errors.New("archive: nothing is in it, or stripping leaves nothing")
	}
	names := make([]string, 0, len(w.targets))
	for name := range w.targets {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := w.sink.Symlink(w.targets[name], name); err != nil {
			return err
		}
	}
	w.result.Obstacles = Obstacles(func(yield func(string) bool) {
		for name, kind := range w.kinds {
			if name != "" && kind != isLeftOut && !yield(name) {
				return
			}
		}
	}, maxNamed)
	return nil
}
