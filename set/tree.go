package set

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/protocol"
)

// The limits of a set's tree.
const (
	MaxEntries = 150_000 // files, folders and links
	MaxDepth   = 32      // folders inside one another
	MaxBytes   = 1 << 30 // all files together
	maxName    = 200     // bytes of one name; most file systems allow 255
)

// signed is the view of a tree that a head signs: without the head itself and without git's folders.
type signed struct{ fs.FS }

// ReadDir implements fs.ReadDirFS.
func (s signed) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(s.FS, name)
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool { return e.Name() == ".git" || name == "." && e.Name() == HeadFile }), err
}

// ReadLink implements fs.ReadLinkFS.
func (s signed) ReadLink(name string) (string, error) { return fs.ReadLink(s.FS, name) }

// Lstat implements fs.ReadLinkFS.
func (s signed) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(s.FS, name) }

func lstat(fsys fs.FS, name string) (fs.FileInfo, error) { return fs.Lstat(fsys, name) }

// A walker looks at the entries of a tree, and refuses a tree that a set cannot be.
type walker struct {
	tree    fs.FS
	entries int
	bytes   int64
	visit   func(name string, info fs.FileInfo) error
}

// Check returns an error with the code Invalid or Exhausted if a tree cannot be a set on every system: too large, too deep, names that
// are one where case is ignored, links that lead out of the tree, in a circle or nowhere, devices and pipes.
func Check(tree fs.FS) error {
	return (&walker{tree: signed{tree}, visit: func(string, fs.FileInfo) error { return nil }}).folder(".", 0)
}

func (w *walker) folder(dir string, depth int) error {
	if depth > MaxDepth {
		return protocol.Errorf(protocol.Invalid, "the set has more than %d folders inside one another: %.200q", MaxDepth, dir)
	}
	list, err := fs.ReadDir(w.tree, dir)
	if err != nil {
		return fmt.Errorf("read the set: %w", err)
	}
	if w.entries += len(list); w.entries > MaxEntries {
		return protocol.Errorf(protocol.Exhausted, "the set has more than %d files: the folder %s has %d", MaxEntries, dir, len(list)).
			WithHint("is it the right folder? A set holds package files, *.nu")
	}
	folded := map[string]string{}
	for _, e := range list {
		name := path.Join(dir, e.Name())
		if err := checkName(name, e.Name()); err != nil {
			return err
		}
		fold := foldName(e.Name())
		if other, taken := folded[fold]; taken {
			return protocol.Errorf(protocol.Invalid, "the set has %s and %s, which are one name where case is ignored", path.Join(dir, other), name).
				WithHint("rename one of them: macOS and Windows cannot hold both")
		}
		folded[fold] = e.Name()
		if err := w.entry(name, e, depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) entry(name string, e fs.DirEntry, depth int) error {
	info, err := fs.Lstat(w.tree, name)
	if err != nil {
		return fmt.Errorf("read the set: %w", err)
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		if err := w.link(name); err != nil {
			return err
		}
	case !info.IsDir() && !info.Mode().IsRegular():
		return protocol.Errorf(protocol.Invalid, "the set has %s, which is neither a file, a folder nor a link", name).WithHint("remove it")
	case !info.IsDir():
		if w.bytes += info.Size(); w.bytes > MaxBytes {
			return protocol.Errorf(protocol.Exhausted, "the set has more than %d MiB, up to %s", MaxBytes>>20, name).
				WithHint("is it the right folder? A set holds package files, *.nu; sources are fetched")
		}
	}
	if err := w.visit(name, info); err != nil {
		return err
	}
	if info.IsDir() {
		return w.folder(name, depth+1)
	}
	return nil
}

// link refuses a link that does not lead to a file or folder of the tree. os.Root, which is behind the tree, follows links inside it only.
func (w *walker) link(name string) error {
	target, err := fs.ReadLink(w.tree, name)
	if err == nil {
		_, err = fs.Stat(w.tree, name)
	}
	if err == nil {
		return nil
	}
	return protocol.Errorf(protocol.Invalid, "the set has the link %s to %.200q, which leads to no file of the set: %w", name, target, err).
		WithHint("remove the link, or let it lead to a file of the set by a relative path")
}

func checkName(whole, name string) error {
	bad := ""
	switch {
	case len(name) > maxName:
		bad = fmt.Sprintf("it has more than %d bytes", maxName)
	case !utf8.ValidString(name):
		bad = "it is not UTF-8"
	case strings.ContainsAny(name, `<>:"|?*\`) || strings.ContainsFunc(name, unicode.IsControl):
		bad = "it has a character that Windows does not allow"
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		bad = "Windows drops its last character"
	default:
		return nil
	}
	return protocol.Errorf(protocol.Invalid, "the set has the name %.260q: %s", whole, bad).WithHint("rename it: a set is read on every system")
}

// foldName returns a form of a name that is equal for names that differ in case only.
func foldName(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, name)
}

// writeTree copies the files of a tree, as a head signs it, to the new folder at, and makes them durable.
func writeTree(tree fs.FS, at string) error {
	if err := os.Mkdir(at, 0o755); err != nil {
		return err
	}
	var jobs errgroup.Group
	jobs.SetLimit(16)
	folders := []string{at}
	w := &walker{tree: signed{tree}}
	w.visit = func(name string, info fs.FileInfo) error {
		to := filepath.Join(at, filepath.FromSlash(name))
		switch {
		case info.IsDir():
			folders = append(folders, to)
			return os.Mkdir(to, 0o755)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := fs.ReadLink(w.tree, name)
			if err != nil {
				return err
			}
			return os.Symlink(target, to)
		}
		jobs.Go(func() error { return copyFile(w.tree, name, to, info.Mode()) })
		return nil
	}
	if err := errors.Join(w.folder(".", 0), jobs.Wait()); err != nil {
		return err
	}
	for _, dir := range folders {
		if err := atomicfile.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(tree fs.FS, name, to string, mode fs.FileMode) error {
	in, err := tree.Open(name)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	perm := fs.FileMode(0o644)
	if mode&0o111 != 0 {
		perm = 0o755
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.LimitReader(in, MaxBytes+1))
	if err == nil {
		err = out.Chmod(perm) // whatever the umask
	}
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
