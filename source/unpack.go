package source

import (
	"context"
	"os"
	"path/filepath"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/source/archive"
)

// unpack makes r.Dir/out from the downloaded file and removes the file.
func (f *Fetcher) unpack(ctx context.Context, a *fetched, r *Request) error {
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

// unpackInto unpacks an archive into the folder out.
func (f *Fetcher) unpackInto(ctx context.Context, a *fetched, out string, r *Request) error {
	_, err := f.unpackWithin(ctx, a, out, r, f.o.Limits.Limits)
	return err
}

// unpackWithin is unpackInto with other limits.
func (f *Fetcher) unpackWithin(ctx context.Context, a *fetched, out string, r *Request, limits archive.Limits) (*archive.Result, error) {
	if err := os.Mkdir(out, 0o755); err != nil {
		return nil, err
	}
	unpack := f.o.Unpack
	if unpack == nil {
		unpack = archive.UnpackFile
	}
	u, err := unpack(ctx, a.path, out, &archive.Options{
		Deb: r.Unpack == pir.UnpackDeb || r.Unpack == pir.UnpackDebRaw, Control: r.Unpack == pir.UnpackDebRaw,
		Commit: a.commit, Strip: r.Strip, Limits: limits,
	})
	if err != nil {
		return nil, err
	}
	if u.Omitted > 0 {
		f.log.Warn("entries are left out", "archive", filepath.Base(out), "entries", u.LeftOut, "of", u.Omitted)
	}
	r.notice(u)
	return u, nil
}
