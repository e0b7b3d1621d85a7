package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// A Sink is the set of operations that unpacking needs of the place it writes to.
// Names are relative, slash-separated and clean; folders are made before what lies in them.
type Sink interface {
	Mkdir(name string) error
	Create(name string, executable bool) (io.WriteCloser, error)
	Symlink(target, name string) error
	// Remove removes a file that was created.
	Remove(name string) error
	Open(name string) (io.ReadCloser, error)
}

// UnpackOptions says how an archive becomes a tree; nil means all zero.
type UnpackOptions struct {
	// Deb takes the data of a Debian binary package.
	Deb bool
	// Strip drops leading path components of every name.
	Strip int
	// Limits bounds the tree; zero fields take the defaults.
	Limits Limits
	// Progress is called again and again while unpacking goes on; nil is not called. It must return quickly.
	Progress func()
}

// Unpacked says what became of an archive beside its tree.
type Unpacked struct {
	// LeftOut names entries that no tree holds, such as devices, each with what it is; Omitted is how many there are.
	LeftOut []string `json:"left_out,omitempty"`
	Omitted int      `json:"omitted,omitempty"`
	// Obstacles says where the tree cannot be checked out, and why.
	Obstacles []Obstacle `json:"obstacles,omitempty"`
}

// UnpackTo unpacks the archive of the given size into sink.
// The format is told by the first bytes.
// On an error sink has some of the entries.
// A panic of a decompressor is an error like any other.
func UnpackTo(ctx context.Context, archive io.ReaderAt, size int64, sink Sink, o *UnpackOptions) (u *Unpacked, err error) {
	if o == nil {
		o = &UnpackOptions{}
	}
	w := newTreeWriter(ctx, sink, o)
	defer func() {
		if p := recover(); p != nil {
			u, err = nil, protocol.Errorf(protocol.Failed, "unpack: %v", p).WithHint("this is a fault of nuka's, or of the archive: please report it")
		}
	}()
	if o.Deb {
		err = unpackDeb(w, archive, size)
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

// unpack makes r.Dir/out of the downloaded file and removes the file.
func (f *Fetcher) unpack(ctx context.Context, a *archive, r *Request) error {
	out := filepath.Join(r.Dir, Out)
	if r.Unpack == pir.UnpackFile {
		if err := os.Rename(a.path, out); err != nil {
			return err
		}
		return os.Chmod(out, 0o644)
	}
	defer os.Remove(a.path)
	return f.unpackInto(ctx, a, out, r)
}

// unpackInto makes the folder out of an archive.
func (f *Fetcher) unpackInto(ctx context.Context, a *archive, out string, r *Request) error {
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	unpack := f.o.Unpack
	if unpack == nil {
		unpack = UnpackPath
	}
	u, err := unpack(ctx, a.path, out, &UnpackOptions{Deb: r.Unpack == pir.UnpackDeb, Strip: r.Strip, Limits: f.o.Limits})
	if err != nil {
		return err
	}
	if u.Omitted > 0 {
		f.log.Warn("entries are left out", "archive", filepath.Base(out), "entries", u.LeftOut, "of", u.Omitted)
	}
	r.notice(u)
	return nil
}

// UnpackPath unpacks an archive into an existing folder in this process.
// It is what Options.Unpack does where that is nil.
func UnpackPath(ctx context.Context, path, out string, o *UnpackOptions) (*Unpacked, error) {
	a, err := openArchive(path)
	if err != nil {
		return nil, err
	}
	defer a.close()
	root, err := os.OpenRoot(out)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return UnpackTo(ctx, a.file, a.size, Folder{root}, o)
}

// A Folder is a Sink on disk that cannot be left.
type Folder struct{ Root *os.Root }

// Mkdir implements Sink.
func (f Folder) Mkdir(name string) error { return f.Root.Mkdir(name, 0o755) }

// Symlink implements Sink.
func (f Folder) Symlink(target, name string) error { return f.Root.Symlink(target, name) }

// Remove implements Sink.
func (f Folder) Remove(name string) error { return f.Root.Remove(name) }

// Open implements Sink.
func (f Folder) Open(name string) (io.ReadCloser, error) {
	return f.Root.Open(name)
}

// Create implements Sink.
func (f Folder) Create(name string, executable bool) (io.WriteCloser, error) {
	mode := os.FileMode(0o644)
	if executable {
		mode = 0o755
	}
	return f.Root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
}

// unpackArchive tells the format by the first bytes, and of a zip with data before it by the last ones.
func unpackArchive(w *treeWriter, archive io.ReaderAt, size int64) error {
	var magic [4]byte
	if _, err := archive.ReadAt(magic[:], 0); err != nil {
		return fmt.Errorf("archive is shorter than %d bytes", len(magic))
	}
	if string(magic[:]) == "PK\x03\x04" || string(magic[:]) == "PK\x05\x06" {
		return unpackZip(w, archive, size)
	}
	err := unpackTar(w, io.NewSectionReader(archive, 0, size), false)
	if err != nil && w.entries == 0 && endsAsZip(archive, size) {
		return unpackZip(w, archive, size)
	}
	return err
}
