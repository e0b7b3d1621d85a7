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

// The kinds of entries.
const (
	isDir        = 'd'
	isFile       = 'f'
	isExecutable = 'x'
	isLink       = 'l'
	isLeftOut    = 'o' // a device or another file that a tree cannot hold
)

// A treeWriter writes an archive's entries to a sink, as the archive's own tools would.
// It refuses entries that two of these tools would write differently, or outside of the folder.
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
	targets map[string]string // of links; finish writes them last, so that nothing is written through them
	turned  map[string]string // names in an encoding other than UTF-8, with their raw bytes
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

// ambiguous returns the error for an entry that two tools would write differently.
func ambiguous(name, why string) error {
	return protocol.Errorf(protocol.Invalid, "archive entry %.200q: %s", name, why).
		WithHint("tools differ about it: take the archive as it is with --unpack file, and unpack it in the build with the tool that is meant")
}

// maxDepth bounds how deep folders may be nested, nameBytes the average length of names.
// Both bound the memory and time that names cost, which the number of entries alone does not bound.
// maxNamed bounds the entries that a result lists by name.
const (
	maxDepth  = 256
	nameBytes = 256
	maxNamed  = 100
)

// admit counts an entry of the archive and its bytes against the limits, even if the tree will not contain it:
// stripped and repeated entries take time as well.
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

// headerBytes bounds the bytes of an archive that are not content, for each entry that the limits allow.
const headerBytes = 4 << 10

// A boundedReader reads a decompressed archive.
// It ends when the context is done, and at a length that no archive within the limits can have:
// headers and skipped content count as entries only after they have been read.
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

// claim takes a name for an entry of the given kind, and the names of the folders above it.
// It replaces an earlier entry of the same name: the last one counts.
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
	// If there is one byte more than declared, the content does not match its header.
	n, err := io.Copy(f, io.LimitReader(content, size+1))
	if err == nil && n != size {
		return refuse(raw, fmt.Sprintf("%d bytes of content, %d declared", n, size))
	}
	if err != nil {
		return fmt.Errorf("entry %.200q: %w", raw, err)
	}
	return f.Close()
}

// symlink records a link as text.
// It does not check the target: programs follow links in their own name space, whose root is not this machine's.
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

// leaveOut drops an entry that a tree cannot hold.
// Like the archive's own tool, it replaces an earlier entry of the same name.
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

// hardLink repeats an earlier entry of the archive. It copies a file, and the store keeps one copy.
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
