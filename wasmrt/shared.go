package wasmrt

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/zeebo/blake3"
)

// A worker must not write to the cache that other processes execute from: its program or its build may have taken it over.
// So a worker reads the cache through a directory of its own with links to the entries. Machine code that it compiles
// itself stays in its memory, or in that directory. A trusted process fills the cache: it compiles a module in a compile
// worker, which runs no program, and Adopt copies the worker's output.

// compileShared compiles through a cache that this process only reads.
func (r *Runtime) compileShared(ctx context.Context, m *Module, bounded bool) (*compiled, error) {
	name := entryName(m.key, bounded)
	shared, own := filepath.Join(r.opts.CacheDir, name), filepath.Join(r.opts.Scratch, name)
	asked := r.opts.Ask == nil
	ask := func(again bool) {
		asked = true
		if err := r.opts.Ask(ctx, &Missing{Code: m.code, File: m.file, Again: again}); err != nil && ctx.Err() == nil {
			r.log.Warn("machine code is not kept", "module", m.key.String(), "error", err)
		}
	}
	for {
		err := checkEntry(shared)
		if err != nil && !asked {
			ask(!errors.Is(err, os.ErrNotExist))
			continue
		}
		if err != nil { // no process would read an entry written here
			return r.compileWith(ctx, m.code, bounded, nil)
		}
		c, err := r.compileOwn(ctx, m, bounded, shared, own)
		if err == nil {
			return c, nil
		}
		if asked && errors.Is(err, errNoEntry) {
			return r.compileWith(ctx, m.code, bounded, nil)
		}
		if asked || ctx.Err() != nil {
			return nil, err
		}
		if !errors.Is(err, errNoEntry) {
			r.log.Warn("machine code cache entry is damaged", "entry", shared, "error", err)
		}
		ask(true)
	}
}

// compileOwn takes machine code through the directory own, which shows the files of the directory shared. errNoEntry.
func (r *Runtime) compileOwn(ctx context.Context, m *Module, bounded bool, shared, own string) (*compiled, error) {
	if err := os.RemoveAll(own); err != nil {
		return nil, fmt.Errorf("%w: %w", errCache, err)
	}
	c, err := r.compileStub(ctx, m, bounded, shared, own)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCache, err)
	}
	return c, nil
}

// showEntry links the files of an entry into another directory.
func showEntry(shared, own string) error {
	for _, rel := range entryFiles(shared) {
		from, to := filepath.Join(shared, rel), filepath.Join(own, rel)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if err := os.Symlink(from, to); err != nil {
			if err := os.Link(from, to); err != nil { // under Windows, symbolic links to files need a privilege
				return err
			}
		}
	}
	return nil
}

// Cached reports whether a cache has machine code of a module. The machine code may be for another processor.
func Cached(cacheDir string, code []byte) bool {
	name, err := moduleEntry(code)
	return err == nil && checkEntry(filepath.Join(cacheDir, name)) == nil
}

// CompileFile compiles the module of a file into the directory made, for Adopt. A compile worker calls it.
func CompileFile(ctx context.Context, file, made string) error {
	rt, err := New(ctx, &Options{CacheDir: made})
	if err != nil {
		return err
	}
	_, err = rt.LoadFile(ctx, file)
	return errors.Join(err, rt.Close(ctx))
}

// maxMachineCode limits the size of a file that Adopt copies.
const maxMachineCode = 4 << 30

// Adopt copies the output of CompileFile for a module into a cache. The worker that made it must have ended.
// Adopt trusts the worker with this module's machine code only: it computes the entry's name itself, and reads
// only one plain file of the directory made, whose name and place must be those of a cache.
func Adopt(cacheDir, made string, code []byte) error {
	name, err := moduleEntry(code)
	if err != nil {
		return fmt.Errorf("adopt machine code: %w", err)
	}
	root, err := os.OpenRoot(made)
	if err == nil {
		err = adopt(filepath.Join(cacheDir, name), root, name)
		_ = root.Close()
	}
	if err != nil {
		return fmt.Errorf("adopt machine code of %s: %w", name, err)
	}
	return nil
}

// adopt reads the worker's files only through root, so that links lead nowhere else.
func adopt(entry string, root *os.Root, name string) (err error) {
	defer func() {
		if err == nil {
			err = readable(entry)
		}
	}()
	if err := checkEntry(entry); err != nil { // an entry with damaged files must not be sealed
		if err := clearEntry(entry); err != nil {
			return err
		}
	}
	cache, err := wazero.NewCompilationCacheWithDir(entry) // makes the directory of this wazero version
	if err != nil {
		return err
	}
	_ = cache.Close(context.Background())
	for _, folder := range namesIn(entry, "wazero-") {
		dir, version := filepath.Join(entry, folder), filepath.Join(name, folder)
		list, err := fs.ReadDir(root.FS(), filepath.ToSlash(version))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range list {
			if sum, err := hex.DecodeString(e.Name()); err != nil || len(sum) != 32 || strings.ToLower(e.Name()) != e.Name() || !e.Type().IsRegular() {
				continue
			}
			if err := adoptFile(root, filepath.Join(version, e.Name()), filepath.Join(dir, e.Name())); err != nil {
				return err
			}
			return sealEntry(entry)
		}
	}
	return errors.New("the compiler left nothing")
}

// readable lets workers that run as another user read an entry. Its cache's own folder keeps everybody else out, where that is wanted.
func readable(entry string) error {
	return filepath.WalkDir(entry, func(path string, e fs.DirEntry, err error) error {
		mode := os.FileMode(0o644)
		if err == nil && e.IsDir() {
			mode = 0o755
		}
		if err == nil {
			err = os.Chmod(path, mode)
		}
		if errors.Is(err, fs.ErrNotExist) && path != entry {
			return nil // a temporary file of another process
		}
		return err
	})
}

// adoptFile copies one file. It refuses a link, a file with several names, and a file without the form of machine code.
func adoptFile(root *os.Root, from, to string) error {
	st, err := root.Lstat(from)
	if err != nil {
		return err
	}
	if _, _, names, ok := hostID(st); !st.Mode().IsRegular() || ok && names != 1 || st.Size() > maxMachineCode {
		return fmt.Errorf("%s is not a plain file with one name", from)
	}
	in, err := root.OpenFile(from, os.O_RDONLY|hostOpenFlags, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	now, err := in.Stat()
	if err != nil || !os.SameFile(st, now) {
		return errors.Join(fmt.Errorf("%s was replaced", from), err)
	}
	out, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) //nolint:errcheck // gone after the rename
	_, err = io.Copy(out, io.LimitReader(in, maxMachineCode))
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	if _, err := entrySum(out.Name()); err != nil {
		return fmt.Errorf("%s is not machine code: %w", from, err)
	}
	return os.Rename(out.Name(), to)
}

// moduleEntry returns the name of the only entry that Load makes for a module.
func moduleEntry(code []byte) (string, error) {
	scan, err := scanModule(code)
	if err != nil {
		return "", err
	}
	return entryName(blake3.Sum256(code), !scan.exports["_start"]), nil
}
