package wasmrt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/tetratelabs/wazero"
)

// The sections of a module that stubModule looks at.
const (
	customSection = 0
	codeSection   = 10
)

// stubScratch begins the names of folders in entries that are no part of them.
const stubScratch = "stub-"

// stubBody is the code of a function that never returns: its length, no local variables, unreachable, end. It is valid for each type.
var stubBody = []byte{3, 0, 0, 0x0b}

// stubModule returns a module with everything of code but what its functions do. wazero decodes and validates a module each time, also if it then takes the
// machine code from a cache; for the code of clang that takes five times as long as everything else of a start. So entries of the cache are for stubs.
func stubModule(code []byte) ([]byte, error) {
	broken := errors.New("truncated WebAssembly module")
	if len(code) < 8 {
		return nil, broken
	}
	stub := append(make([]byte, 0, len(code)/2), code[:8]...)
	for b := code[8:]; len(b) > 0; {
		n, k := binary.Uvarint(b[1:])
		if k <= 0 || n > uint64(len(b)-1-k) {
			return nil, broken
		}
		head, body := 1+k, b[1+k:][:n]
		switch b[0] {
		case codeSection:
			count, k := binary.Uvarint(body)
			if k <= 0 || count > n {
				return nil, broken
			}
			stub = append(stub, codeSection)
			stub = binary.AppendUvarint(stub, uint64(k)+count*uint64(len(stubBody)))
			stub = append(stub, body[:k]...)
			for range count {
				stub = append(stub, stubBody...)
			}
		case customSection:
			if name, ok := scanName(&body); ok && name == "name" { // traps are told with the names of functions
				stub = append(stub, b[:head+int(n)]...)
			}
		default:
			stub = append(stub, b[:head+int(n)]...)
		}
		b = b[head+int(n):]
	}
	return stub, nil
}

// compileStub takes the machine code of a module from the files of an entry. own is a folder that no other process writes to; it shows the entry's files, since wazero compiles the
// stub itself if it does not find them, and keeps that. errNoEntry: it did so, because the files are gone, are for another processor, or come from an earlier nuka.
func (r *Runtime) compileStub(ctx context.Context, m *Module, bounded bool, entry, own string) (*compiled, error) {
	stub, err := stubModule(m.code)
	if err == nil {
		err = showEntry(entry, own)
	}
	before := fileInfos(own)
	if err == nil && len(before) == 0 { // the files are gone; so may be one that wazero makes, and then nothing would tell that it did
		return nil, errNoEntry
	}
	var cache wazero.CompilationCache
	if err == nil {
		cache, err = wazero.NewCompilationCacheWithDir(own)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCache, err)
	}
	c, err := r.compileWith(ctx, stub, bounded, cache)
	if err != nil {
		return nil, errors.Join(err, cache.Close(ctx))
	}
	if !maps.EqualFunc(before, fileInfos(own), os.SameFile) {
		return nil, errors.Join(errNoEntry, c.close(ctx))
	}
	return c, nil
}

// fileInfos returns the files of an entry as they are, links included.
func fileInfos(dir string) map[string]os.FileInfo {
	infos := map[string]os.FileInfo{}
	for _, rel := range entryFiles(dir) {
		infos[rel], _ = os.Lstat(filepath.Join(dir, rel)) // nil: gone, which is no file of before
	}
	return infos
}

var errNoEntry = errors.New("the machine code is not for this processor")

// renameForStub gives the file of a new entry in dir the name under which wazero looks for the module's stub.
func (r *Runtime) renameForStub(ctx context.Context, m *Module, bounded bool, dir string) error {
	stub, err := stubModule(m.code)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(dir, stubScratch)
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // it is not an entry
	cache, err := wazero.NewCompilationCacheWithDir(scratch)
	if err != nil {
		return err
	}
	c, err := r.compileWith(ctx, stub, bounded, cache)
	if err != nil {
		return errors.Join(err, cache.Close(ctx))
	}
	err = c.close(ctx)
	names := entryFiles(scratch)
	if err != nil || len(names) != 1 {
		return errors.Join(err, errors.New("wazero keeps no machine code"))
	}
	for _, name := range entryFiles(dir) {
		if name == names[0] { // that of another process, which was faster
			continue
		}
		if e := os.Rename(filepath.Join(dir, name), filepath.Join(dir, names[0])); !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}
