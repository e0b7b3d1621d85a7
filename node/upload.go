package node

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

// uploadLimits bound a tree that a light peer uploads.
type uploadLimits struct {
	bytes   int64 // of all files
	entries int
	names   int64 // bytes of all names and link targets
}

// ownUpload bounds uploads of the node's own user, foreignUpload those of light peers with a ticket, as archives are bounded.
var (
	ownUpload     = uploadLimits{bytes: 1 << 40, entries: 20_000_000, names: 4 << 30}
	foreignUpload = uploadLimits{bytes: 32 << 30, entries: 1_000_000, names: 256 << 20}
)

// upload answers OpUpload: it imports a tree from a tar whose one top entry is "out".
func (h *handler) upload(ctx context.Context, r *request) (*protocol.Uploaded, error) {
	dir, err := os.MkdirTemp(h.realizer.WorkDir(), "upload-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	limits := &foreignUpload
	if r.Here {
		limits = &ownUpload
	}
	if err := unpackUpload(ctx, dir, r.Data, limits); err != nil {
		var coded *protocol.Error
		if errors.As(err, &coded) {
			return nil, protocol.Errorf(coded.Code, "upload: %w", err).WithHint("%s", coded.Hint)
		}
		return nil, protocol.Errorf(protocol.Invalid, "upload: %w", err)
	}
	content, err := h.realizer.Import(ctx, dir, source.Out, h.keepForCaller(r, "a command that has uploaded it"))
	if err != nil {
		return nil, err
	}
	return &protocol.Uploaded{CID: content.String()}, nil
}

// unpackUpload unpacks the tar of a light peer.
// Unlike a stranger's archive it may hold any link; unpackUpload writes no file through a link.
func unpackUpload(ctx context.Context, dir string, data io.Reader, limits *uploadLimits) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	type link struct{ name, target string }
	var links []link
	left := *limits
	tr := tar.NewReader(&contextReader{ctx, data})
	for {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := left.take(hdr); err != nil {
			return err
		}
		name := path.Clean(hdr.Name)
		switch hdr.Typeflag {
		case tar.TypeDir:
			err = root.Mkdir(name, 0o700)
		case tar.TypeSymlink:
			links = append(links, link{name, hdr.Linkname})
		case tar.TypeReg:
			var f *os.File
			if f, err = root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, os.FileMode(hdr.Mode)&0o777|0o600); err == nil {
				_, err = io.Copy(f, tr)
				err = errors.Join(err, f.Close())
			}
		default:
			err = fmt.Errorf("entry %q of type %q", name, hdr.Typeflag)
		}
		if err != nil {
			return err
		}
	}
	for _, l := range links {
		if err := root.Symlink(l.target, l.name); err != nil {
			return err
		}
	}
	_, err = io.Copy(io.Discard, &contextReader{ctx, io.LimitReader(data, maxPadding)}) // up to the end frame
	return err
}

// maxPadding bounds what may follow the archive.
const maxPadding = 1 << 20

// take counts an entry before it is written.
func (l *uploadLimits) take(hdr *tar.Header) error {
	for name := range hdr.PAXRecords {
		if strings.HasPrefix(name, "GNU.sparse.") { // a few bytes that stand for any number of zeros; nuka sends none
			return fmt.Errorf("entry %q is sparse", hdr.Name)
		}
	}
	l.entries--
	l.bytes -= hdr.Size
	l.names -= int64(len(hdr.Name) + len(hdr.Linkname))
	if l.entries < 0 || l.bytes < 0 || l.names < 0 {
		return protocol.Errorf(protocol.Exhausted, "the tree is larger than a ticket may hand over").
			WithHint("a ticket's holder may hand over %d entries and %d GiB", foreignUpload.entries, foreignUpload.bytes>>30)
	}
	return nil
}

// A contextReader reads until its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
