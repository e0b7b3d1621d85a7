package source

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/blakesmith/ar"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// A Sink is the set of operations that unpacking needs of the place it writes to.
// Names are relative, slash-separated and clean; folders are made before what lies in them.
type Sink interface {
	Mkdir(name string) error
	Create(name string, executable bool) (io.WriteCloser, error)
	Symlink(target, name string) error
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
}

// UnpackTo unpacks the archive of the given size into sink.
// The format is told by the first bytes.
// On an error sink has some of the entries.
func UnpackTo(ctx context.Context, archive io.ReaderAt, size int64, sink Sink, o *UnpackOptions) error {
	if o == nil {
		o = &UnpackOptions{}
	}
	w := newTreeWriter(ctx, sink, o)
	var err error
	if o.Deb {
		w.absoluteLinks = true // a Debian package's links are meant inside its own root
		err = unpackDeb(w, io.NewSectionReader(archive, 0, size))
	} else {
		err = unpackArchive(w, archive, size)
	}
	if err == nil {
		err = w.finish()
	}
	var coded *protocol.Error
	if err != nil && ctx.Err() == nil && !errors.As(err, &coded) {
		err = protocol.Errorf(protocol.Invalid, "unpack: %v", err)
	}
	return err
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
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(out)
	if err != nil {
		return err
	}
	defer root.Close()
	return UnpackTo(ctx, a.file, a.size, Folder{root}, &UnpackOptions{
		Deb: r.Unpack == pir.UnpackDeb, Strip: r.Strip, Limits: f.o.Limits,
	})
}

// A Folder is a Sink on disk that cannot be left.
type Folder struct{ Root *os.Root }

// Mkdir implements Sink.
func (f Folder) Mkdir(name string) error { return f.Root.Mkdir(name, 0o755) }

// Symlink implements Sink.
func (f Folder) Symlink(target, name string) error { return f.Root.Symlink(target, name) }

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

// unpackArchive tells the format by the first bytes.
func unpackArchive(w *treeWriter, archive io.ReaderAt, size int64) error {
	var magic [4]byte
	if _, err := archive.ReadAt(magic[:], 0); err != nil {
		return fmt.Errorf("archive is shorter than %d bytes", len(magic))
	}
	if string(magic[:]) == "PK\x03\x04" || string(magic[:]) == "PK\x05\x06" {
		return unpackZip(w, archive, size)
	}
	return unpackTar(w, io.NewSectionReader(archive, 0, size))
}

// unpackTar unpacks a tar that may be compressed.
func unpackTar(w *treeWriter, in io.Reader) error {
	r, closeReader, err := decompress(in)
	if err != nil {
		return err
	}
	defer closeReader()
	plain := w.bounded(r)
	tr := tar.NewReader(plain)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		if err := w.tarEntry(h, tr); err != nil {
			return err
		}
	}
	if err := onlyZeros(plain); err != nil {
		return err
	}
	// Where nothing is compressed, only the blocks of zeros tell the end from a cut between two entries.
	if plain.zero < 512 {
		return errors.New("tar: it has no end, so it is not all there")
	}
	return nil
}

// maxPadding is how many zeros may follow an archive; tar pads to its blocking factor.
const maxPadding = 16 << 20

// onlyZeros refuses data after an archive's end: another tool might read it as a second archive.
func onlyZeros(r io.Reader) error {
	buf := make([]byte, 32<<10)
	for total := 0; ; {
		n, err := r.Read(buf)
		if total += n; total > maxPadding {
			return fmt.Errorf("more than %d zeros after the end of the archive", maxPadding)
		}
		if len(bytes.Trim(buf[:n], "\x00")) > 0 {
			return errors.New("data after the end of the archive")
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func decompress(in io.Reader) (plain io.Reader, closeReader func(), err error) {
	buffered := bufio.NewReaderSize(in, 256<<10)
	magic, _ := buffered.Peek(6)
	nothing := func() {}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		r, err := gzip.NewReader(buffered)
		return r, nothing, err
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		r, err := xz.ReaderConfig{DictCap: 64 << 20}.NewReader(buffered)
		return r, nothing, err
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		r, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nothing, err
		}
		return r, r.Close, nil
	case bytes.HasPrefix(magic, []byte("BZh")):
		return bzip2.NewReader(buffered), nothing, nil
	}
	head, _ := buffered.Peek(512)
	if len(head) == 512 && string(head[257:262]) == "ustar" {
		return buffered, nothing, nil
	}
	return nil, nothing, protocol.Errorf(protocol.Invalid, "no archive of a known format (tar, also with gzip, xz, zstd or bzip2; zip)").
		WithHint("if it is to stay one file: --unpack file")
}

// unpackDeb unpacks the data of a Debian binary package (deb(5)).
func unpackDeb(w *treeWriter, file io.Reader) error {
	r := ar.NewReader(file)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return errors.New("no data in the Debian package")
		}
		if err != nil {
			return fmt.Errorf("debian package: %w", err)
		}
		if strings.HasPrefix(h.Name, "data.tar") {
			return unpackTar(w, r)
		}
	}
}

// tarEntry writes one entry of a tar.
func (w *treeWriter) tarEntry(h *tar.Header, content io.Reader) error {
	if err := w.admit(h.Name, h.Size); err != nil {
		return err
	}
	const setIDs = 0o6000
	if h.Mode&setIDs != 0 && h.Typeflag == tar.TypeReg {
		return refuse(h.Name, "a file that runs as another user")
	}
	// A PAX size that a plain header could hold as well is there to be read differently by two tools.
	if _, pax := h.PAXRecords["size"]; pax && h.Size < 8<<30 {
		return refuse(h.Name, "two sizes")
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeDir:
		return w.dir(h.Name)
	case tar.TypeReg:
		return w.file(h.Name, h.Size, h.Mode&0o111 != 0, content)
	case tar.TypeSymlink:
		return w.symlink(h.Name, h.Linkname)
	case tar.TypeLink:
		return w.hardLink(h.Name, h.Linkname)
	}
	return refuse(h.Name, fmt.Sprintf("an entry of type %q, such as a device", h.Typeflag))
}
