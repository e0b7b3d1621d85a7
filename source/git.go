package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
	"github.com/MordragT/nuka/source/git"
)

// maxRefs bounds the list of a repository's refs, in bytes. Of protocol version 2 only those that are asked for come.
const maxRefs = 128 << 20

// fetchGit writes the tree of one revision to r.Dir/out.
// The repository's bytes are taken as they are: attributes and filters change no line end, and large file storage keeps its pointers.
func (f *Fetcher) fetchGit(ctx context.Context, o Origin, r *Request) error {
	if !r.Hash.IsZero() && r.Hash.Algorithm != pir.B3 {
		return protocol.Errorf(protocol.Invalid, "fetch git is fixed by a b3- hash, and %s is none", r.Hash).
			WithHint("leave --hash out once: the error then tells the right one")
	}
	if o.Submodules != "" && r.Strip != 0 {
		return protocol.Errorf(protocol.Invalid, "fetch git: submodules have their paths, and folders cannot be stripped")
	}
	root, err := os.OpenRoot(r.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	c := &checkout{f: f, r: r, regs: f.registries(r), root: root, submodules: o.Submodules != "", left: f.o.Limits}
	return c.repository(ctx, o, Out, 0)
}

// tree writes the tree of a revision to the folder at of r.Dir, which it makes.
func (c *checkout) tree(ctx context.Context, o Origin, at string, r *Request) (*archive.Result, error) {
	pack, err := os.OpenFile(filepath.Join(r.Dir, "pack"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer pack.Close()
	defer os.Remove(pack.Name())
	remote := git.Remote{
		URL: o.URL, MaxRefs: maxRefs, MaxPack: c.left.Download,
		Do: func(req *http.Request) (*http.Response, error) {
			p, err := c.regs.withLogin(place{url: req.URL.String()}) // behind a redirect, another host's
			if err != nil {
				return nil, err
			}
			return c.f.sendWatched(req, p.header)
		},
	}
	commit := ""
	var counted *countedWriter
	err = c.f.retry(ctx, o.URL, func() error {
		if err := pack.Truncate(0); err != nil {
			return err
		}
		if _, err := pack.Seek(0, io.SeekStart); err != nil {
			return err
		}
		var err error
		counted = &countedWriter{w: pack, n: c.done, progress: r.progress}
		commit, err = remote.Fetch(ctx, o.Rev, counted)
		return c.f.gitError(o, err)
	})
	if err != nil {
		return nil, err
	}
	c.left.Download -= counted.n - c.done
	c.done = counted.n
	u, err := c.f.unpackWithin(ctx, &fetched{path: pack.Name(), commit: commit}, filepath.Join(r.Dir, at), r, c.left.Limits)
	if err != nil || len(u.Submodules) == 0 && at == Out {
		return u, err
	}
	c.left.Limits, err = c.left.Without(u)
	return u, err
}

// gitError says which errors of package git another try may change.
func (f *Fetcher) gitError(o Origin, err error) error {
	var coded *protocol.Error
	var said *git.ServerError
	switch {
	case err == nil || errors.As(err, &coded) || errors.Is(err, errRefused):
		return err
	case errors.Is(err, git.ErrNotFound):
		return protocol.Errorf(protocol.NotFound, "%v", err).WithHint("give a tag, a branch, a ref such as refs/pull/1/head, or a whole commit id")
	case errors.Is(err, git.ErrTooLong):
		return protocol.Errorf(protocol.Exhausted, "get %s: more than the limit of %d bytes", o.URL, f.o.Limits.Download)
	case errors.Is(err, git.ErrWrite):
		return protocol.Errorf(protocol.Exhausted, "%v", err)
	case errors.Is(err, git.ErrProtocol):
		return protocol.Errorf(protocol.Invalid, "get %s: %v", o.URL, err).WithHint("check that the address is that of a repository")
	case errors.As(err, &said):
		return fmt.Errorf("get %s: %w: %w", o.URL, errRefused, err)
	}
	return protocol.Errorf(protocol.Unavailable, "get %s: %v", o.URL, err)
}

// A countedWriter tells how many bytes were written, with the n of before.
type countedWriter struct {
	w        io.Writer
	n        int64
	progress func(done, total int64)
}

func (c *countedWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.progress(c.n, 0)
	return n, err
}
