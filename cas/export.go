package cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/MordragT/nuka/pir/cid"
)

// Export writes the tree that root names to a directory, which it makes and which must not exist or be empty.
// If root names a file or link, dir becomes that file or link.
// Files are copies, 0644 or 0755. After an error the files written so far stay.
func (s *Store) Export(ctx context.Context, root cid.CID, dir string) error {
	if err := s.export(ctx, root, dir); err != nil {
		return fmt.Errorf("export %s to %s: %w", root, dir, err)
	}
	return nil
}

func (s *Store) export(ctx context.Context, c cid.CID, dir string) error {
	top, err := s.Lookup(ctx, c, "")
	if err != nil {
		return err
	}
	switch top.Kind {
	case File:
		return s.exportFile(ctx, top, func(mode fs.FileMode) (*os.File, error) {
			return os.OpenFile(dir, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		})
	case Symlink:
		return os.Symlink(top.Target, dir)
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // nothing is written through it then
	list, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	if len(list) > 0 {
		return errors.New("the directory is not empty")
	}
	for e, err := range s.Entries(ctx, c) {
		if err != nil {
			return err
		}
		switch {
		case e.Path == "":
		case e.Kind == Dir:
			err = root.Mkdir(e.Path, 0o755)
		case e.Kind == Symlink:
			err = root.Symlink(e.Target, e.Path)
		default:
			err = s.exportFile(ctx, e, func(mode fs.FileMode) (*os.File, error) {
				return root.OpenFile(e.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
			})
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", e.Path, err)
		}
	}
	return nil
}

func (s *Store) exportFile(ctx context.Context, e Entry, create func(fs.FileMode) (*os.File, error)) error {
	in, err := s.OpenFile(ctx, e.CID)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read
	mode := fs.FileMode(0o644)
	if e.Exec {
		mode = 0o755
	}
	out, err := create(mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = ctx.Err()
	}
	if e := out.Close(); err == nil {
		err = e
	}
	return err
}
