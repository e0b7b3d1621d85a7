package wasmrt

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/zeebo/blake3"
)

// The cache holds one folder per module and kind, named by the module's hash. A folder contains wazero's own file
// (in a folder named after wazero's version and the machine) and "sum", which records the checksum of that file.
// wazero checks the machine code by a CRC, but none of the offsets into it, so sum covers the rest.
// The name of wazero's file is that of the module's stub (see stubModule).
// If an entry does not match, it is removed and compiled again. Files are only ever replaced by rename; writers in
// several processes write the same bytes. The sum detects damage; it is no defence against a process that may write here.

// errCache marks errors of the cache rather than of the module.
var errCache = errors.New("machine code cache")

const sumName = "sum"

// entryName is the name of a module's folder in a cache.
func entryName(key moduleKey, bounded bool) string {
	if bounded {
		return key.String() + "-bounded"
	}
	return key.String()
}

func (r *Runtime) compileCached(ctx context.Context, m *Module, bounded bool) (*compiled, error) {
	dir := filepath.Join(r.opts.CacheDir, entryName(m.key, bounded))
	err := checkEntry(dir)
	if err == nil {
		var c *compiled
		if c, err = r.compileHit(ctx, m, bounded, dir); err == nil || ctx.Err() != nil || errors.Is(err, errCache) {
			return c, err
		}
	}
	if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, errNoEntry) {
		r.log.Warn("machine code cache entry is damaged, compiling again", "entry", dir, "error", err)
	}
	if err := clearEntry(dir); err != nil {
		return nil, fmt.Errorf("%w: %v", errCache, err)
	}
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errCache, err)
	}
	c, err := r.compileWith(ctx, m.code, bounded, cache)
	if err != nil {
		_ = cache.Close(ctx)
		// wazero's error does not tell a fault of the cache from a fault of the module. If the module is wrong, compiling
		// without a cache returns the error again.
		return nil, fmt.Errorf("%w: %w", errCache, err)
	}
	if err := errors.Join(r.renameForStub(ctx, m, bounded, dir), sealEntry(dir)); err != nil {
		r.log.Warn("machine code cache entry not kept", "entry", dir, "error", err)
		_ = clearEntry(dir)
	}
	return c, nil
}

// compileHit takes the machine code of a module from an entry. errCache: there is no folder to show it in, and the entry may be whole. Another error: the machine code's own
// checksum fails, or as compileStub.
func (r *Runtime) compileHit(ctx context.Context, m *Module, bounded bool, dir string) (*compiled, error) {
	var failed error
	for _, base := range []string{dir, ""} { // "": the system's folder, if the entry's disk is full or may only be read
		own, err := os.MkdirTemp(base, stubScratch)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		c, err := r.compileStub(ctx, m, bounded, dir, own)
		_ = os.RemoveAll(own) // it is no part of the entry
		if err == nil || !errors.Is(err, errCache) {
			return c, err
		}
		failed = errors.Join(failed, err)
	}
	return nil, fmt.Errorf("%w: %w", errCache, failed)
}

// entryFiles lists wazero's files in an entry, relative to the entry.
func entryFiles(dir string) []string {
	var out []string
	for _, folder := range namesIn(dir, "wazero-") {
		for _, f := range namesIn(filepath.Join(dir, folder), "") {
			if filepath.Ext(f) != ".tmp" {
				out = append(out, filepath.Join(folder, f))
			}
		}
	}
	return out
}

// namesIn lists the names in a folder that begin with a prefix, sorted; none if it cannot be read. The folder's own name may have characters that are special in patterns.
func namesIn(dir, prefix string) (names []string) {
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names
}

// clearEntry removes the files of an entry but leaves the folder, since another process may be writing.
func clearEntry(dir string) error {
	errs := []error{os.Remove(filepath.Join(dir, sumName))}
	for _, f := range namesIn(dir, stubScratch) {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, f)))
	}
	for _, f := range entryFiles(dir) {
		errs = append(errs, os.Remove(filepath.Join(dir, f)))
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// sealEntry writes sum. If the entry has several files, sum covers all of them.
func sealEntry(dir string) error {
	var b bytes.Buffer
	files := entryFiles(dir)
	if len(files) == 0 {
		return errors.New("removed by another process")
	}
	for _, rel := range files {
		sum, err := entrySum(filepath.Join(dir, rel))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %s\n", hex.EncodeToString(sum[:]), filepath.ToSlash(rel))
	}
	f, err := os.CreateTemp(dir, sumName+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b.Bytes())
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, sumName))
}

// checkEntry returns os.ErrNotExist if there is no entry, nil if the entry is intact, and otherwise an error with the damage.
func checkEntry(dir string) error {
	want, err := os.ReadFile(filepath.Join(dir, sumName))
	if err != nil {
		return err
	}
	files := entryFiles(dir)
	lines := bytes.Split(bytes.TrimSuffix(want, []byte("\n")), []byte("\n"))
	if len(files) == 0 || len(lines) != len(files) {
		return fmt.Errorf("%d files, %d are listed", len(files), len(lines))
	}
	for _, line := range lines {
		h, rel, ok := bytes.Cut(line, []byte(" "))
		if !ok || !filepath.IsLocal(string(rel)) {
			return errors.New("malformed sum")
		}
		sum, err := entrySum(filepath.Join(dir, filepath.FromSlash(string(rel))))
		if err != nil {
			return fmt.Errorf("damaged: %v", err)
		}
		if hex.EncodeToString(sum[:]) != string(h) {
			return fmt.Errorf("checksum of %s differs", rel)
		}
	}
	return nil
}

// entrySum hashes a file of wazero's cache except the machine code, which has its own checksum:
// magic, version, offsets and lengths before it, tables behind it, and the file's length.
func entrySum(name string) (sum [32]byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return sum, err
	}
	h := blake3.New()
	var head [7]byte // magic, length of the version
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return sum, err
	}
	version := make([]byte, int(head[6])+4)
	if _, err := io.ReadFull(f, version); err != nil {
		return sum, err
	}
	count := int64(binary.LittleEndian.Uint32(version[len(version)-4:]))
	offsets := count*8 + 8
	if offsets > st.Size() {
		return sum, io.ErrUnexpectedEOF
	}
	table := make([]byte, offsets)
	if _, err := io.ReadFull(f, table); err != nil {
		return sum, err
	}
	size := binary.LittleEndian.Uint64(table[len(table)-8:])
	at := int64(len(head)) + int64(len(version)) + offsets
	if size > uint64(st.Size()-at) {
		return sum, io.ErrUnexpectedEOF
	}
	h.Write(head[:])
	h.Write(version)
	h.Write(table)
	if _, err := f.Seek(at+int64(size), io.SeekStart); err != nil {
		return sum, err
	}
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	_ = binary.Write(h, binary.LittleEndian, st.Size()) // never fails
	h.Sum(sum[:0])
	return sum, nil
}
