package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"

	"github.com/MordragT/nuka/protocol"
)

// A Sink is the set of operations that unpacking needs from its destination.
// Names are relative, slash-separated and clean. Unpacking makes a folder before its entries.
type Sink interface {
	Mkdir(name string) error
	Create(name string, executable bool) (io.WriteCloser, error)
	Symlink(target, name string) error
	// Remove removes a file that was created.
	Remove(name string) error
	Open(name string) (io.ReadCloser, error)
}

// Limits bounds an archive. A zero field means the value in its comment.
type Limits struct {
	Unpacked int64 `json:"unpacked,omitempty"` // bytes of all files: 32 GiB
	Files    int   `json:"files,omitempty"`    // entries: 1,000,000
}

func (l Limits) withDefaults() Limits {
	if l.Unpacked == 0 {
		l.Unpacked = 32 << 30
	}
	if l.Files == 0 {
		l.Files = 1_000_000
	}
	return l
}

// Without returns the limits reduced by the entries and bytes of an unpacked tree. It returns an error if nothing is left.
func (l Limits) Without(u *Result) (Limits, error) {
	l = l.withDefaults()
	if l.Files -= u.Entries; l.Files <= 0 {
		return l, protocol.Errorf(protocol.Exhausted, "archive: more than the limit of %d entries", l.Files+u.Entries)
	}
	if l.Unpacked -= u.Bytes; l.Unpacked <= 0 {
		return l, protocol.Errorf(protocol.Exhausted, "archive: more than the limit of %d bytes", l.Unpacked+u.Bytes)
	}
	return l, nil
}

// Options choose how an archive becomes a tree. A nil *Options is the zero value.
type Options struct {
	// Deb unpacks the data of a Debian binary package.
	Deb bool
	// Control, beside Deb, also unpacks its control archive, into the folder DEBIAN.
	Control bool
	// Commit unpacks the tree of the commit with this id, in hexadecimal, from a git packfile. The id may also be a tag of a commit.
	Commit string
	// Strip drops this many leading path components from every name.
	Strip int
	// Limits bounds the tree. Zero fields mean the defaults.
	Limits Limits
	// Progress is called repeatedly during unpacking; it must return quickly. It may be nil.
	Progress func()
}

// Result describes an unpacked archive, beside its tree.
type Result struct {
	// LeftOut lists entries that a tree cannot hold, such as devices, each with its type. Omitted counts them.
	LeftOut []string `json:"left_out,omitempty"`
	Omitted int      `json:"omitted,omitempty"`
	// Obstacles lists the names that prevent a checkout of the tree on some systems.
	Obstacles []Obstacle `json:"obstacles,omitempty"`

	// Submodules are the entries of a git tree that are commits of other repositories. The tree has empty folders in their place.
	Submodules []Submodule `json:"submodules,omitempty"`
	// Entries and Bytes are the amounts that a git tree counted against the limits. For other archives they are zero.
	Entries int   `json:"entries,omitempty"`
	Bytes   int64 `json:"bytes,omitempty"`
}

// A Submodule is a commit of another repository in a git tree.
type Submodule struct {
	Path   string `json:"path"`
	Commit string `json:"commit"` // in hexadecimal
}

// Unpack unpacks the archive of the given size into sink.
// It detects the format from the first bytes.
// After an error, sink contains some of the entries.
// A panic of a decompressor becomes an error.
func Unpack(ctx context.Context, archive io.ReaderAt, size int64, sink Sink, o *Options) (u *Result, err error) {
	if o == nil {
		o = &Options{}
	}
	w := newTreeWriter(ctx, sink, o)
	defer func() {
		if p := recover(); p != nil {
			u, err = nil, protocol.Errorf(protocol.Failed, "unpack: %v", p).WithHint("this is a fault of nuka's, or of the archive: please report it")
		}
	}()
	if o.Commit != "" {
		err = unpackGit(w, archive, size, o.Commit)
	} else if o.Deb {
		err = unpackDeb(w, archive, size, o.Control)
	} else {
		err = unpackArchive(w, archive, size)
	}
	if err == nil {
		err = w.finish()
	}
	if err == nil {
		return &w.result, nil
	}
	var coded *protocol.Error
	if ctx.Err() == nil && !errors.As(err, &coded) {
		err = protocol.Errorf(protocol.Invalid, "unpack: %v", err)
	}
	return nil, err
}

// UnpackFile unpacks an archive into an existing folder in this process.
// A fetcher without a worker uses it.
func UnpackFile(ctx context.Context, path, out string, o *Options) (*Result, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(out)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return Unpack(ctx, file, info.Size(), Folder{root}, o)
}

// A Folder is a Sink on disk. Nothing can be written outside of it.
type Folder struct{ Root *os.Root }

// holds returns an error if this system cannot hold a name that a tree can, such as one with a backslash on Windows,
// where it would be another name.
func holds(name string) error {
	if why := windowsName(path.Base(name)); runtime.GOOS == "windows" && why != "" {
		return protocol.Errorf(protocol.Unavailable, "%.200q cannot be written on this system: %s", name, why)
	}
	return nil
}

// Mkdir implements Sink.
func (f Folder) Mkdir(name string) error {
	if err := holds(name); err != nil {
		return err
	}
	return f.Root.Mkdir(name, 0o755)
}

// Symlink implements Sink.
func (f Folder) Symlink(target, name string) error {
	if err := holds(name); err != nil {
		return err
	}
	return f.Root.Symlink(target, name)
}

// Remove implements Sink.
func (f Folder) Remove(name string) error { return f.Root.Remove(name) }

// Open implements Sink.
func (f Folder) Open(name string) (io.ReadCloser, error) {
	return f.Root.Open(name)
}

// Create implements Sink.
func (f Folder) Create(name string, executable bool) (io.WriteCloser, error) {
	if err := holds(name); err != nil {
		return nil, err
	}
	mode := os.FileMode(0o644)
	if executable {
		mode = 0o755
	}
	return f.Root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
}

// unpackArchive detects the format from the first bytes, and a zip with data before it from the last bytes.
func unpackArchive(w *treeWriter, archive io.ReaderAt, size int64) error {
	var magic [4]byte
	if _, err := archive.ReadAt(magic[:], 0); err != nil {
		return fmt.Errorf("archive is shorter than %d bytes", len(magic))
	}
	if string(magic[:]) == "PK\x03\x04" || string(magic[:]) == "PK\x05\x06" {
		return unpackZip(w, archive, size)
	}
	if string(magic[:]) == squashMagic {
		return unpackSquashfs(w, archive, size)
	}
	if IsAppImage(archive) {
		return unpackAppImage(w, archive, size)
	}
	err := unpackTar(w, io.NewSectionReader(archive, 0, size), false)
	if err != nil && w.entries == 0 && endsAsZip(archive, size) {
		return unpackZip(w, archive, size)
	}
	return err
}
