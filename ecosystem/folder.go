package ecosystem

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// A Folder keeps files below a folder of the host: a file for each, and one for each further hash that holds the B3 hash. It implements Files.
// Files are caches: a file is compared with its name when it is opened for the first time, and a damaged one counts as missing.
type Folder struct {
	dir     string
	mu      sync.Mutex
	checked map[pir.Hash]bool
}

// NewFolder returns a Folder, and makes the folder if it does not exist. Several Folders may use one folder.
func NewFolder(dir string) (*Folder, error) {
	for _, name := range []string{"files", "by", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return nil, err
		}
	}
	return &Folder{dir: dir, checked: map[pir.Hash]bool{}}, nil
}

// Dir returns the folder.
func (d *Folder) Dir() string { return d.dir }

func (d *Folder) file(hash pir.Hash) string { return filepath.Join(d.dir, "files", hash.String()) }

func (d *Folder) by(hash pir.Hash) string {
	return filepath.Join(d.dir, "by", string(hash.Algorithm)+"-"+hex.EncodeToString(hash.Digest()))
}

// Find implements Files.
func (d *Folder) Find(promised pir.Hash) (pir.Hash, int64, bool) {
	hash := promised
	if promised.Algorithm != pir.B3 {
		text, err := os.ReadFile(d.by(promised))
		if err != nil {
			return pir.Hash{}, 0, false
		}
		if hash, err = pir.ParseHash(string(text)); err != nil || hash.Algorithm != pir.B3 {
			return pir.Hash{}, 0, false
		}
	}
	f, err := d.Open(hash)
	if err != nil {
		return pir.Hash{}, 0, false
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	return hash, size, err == nil
}

// Open implements Files.
func (d *Folder) Open(hash pir.Hash) (io.ReadSeekCloser, error) {
	if hash.Algorithm != pir.B3 {
		return nil, fmt.Errorf("open %s: %w", hash, fs.ErrNotExist)
	}
	f, err := os.Open(d.file(hash))
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	known := d.checked[hash]
	d.mu.Unlock()
	if known {
		return f, nil
	}
	sum := cid.NewFile(false)
	_, err = io.Copy(sum, f)
	if c, _, _, _ := sum.Finish(); err == nil && pir.HashOf(c) != hash {
		err = fmt.Errorf("open %s: the file is damaged: %w", hash, fs.ErrNotExist)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	d.mu.Lock()
	d.checked[hash] = true
	d.mu.Unlock()
	return f, nil
}

// Create implements Files.
func (d *Folder) Create() (Writer, error) {
	f, err := os.CreateTemp(filepath.Join(d.dir, "tmp"), "file-")
	if err != nil {
		return nil, err
	}
	return &folderWriter{file: f, dir: d, sum: cid.NewFile(false)}, nil
}

// A folderWriter does not embed its file: io.Copy would write past the hash.
type folderWriter struct {
	file *os.File
	dir  *Folder
	sum  *cid.FileBuilder
	done bool
}

func (w *folderWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	_, _ = w.sum.Write(p[:n]) // never fails
	return n, err
}

func (w *folderWriter) ReadAt(p []byte, off int64) (int, error) { return w.file.ReadAt(p, off) }

func (w *folderWriter) Commit(also ...pir.Hash) (pir.Hash, int64, error) {
	c, size, _, _ := w.sum.Finish()
	hash := pir.HashOf(c)
	if err := errors.Join(w.file.Sync(), w.file.Close()); err != nil {
		return pir.Hash{}, 0, err
	}
	w.done = true
	if err := atomicfile.Rename(w.file.Name(), w.dir.file(hash)); err != nil {
		return pir.Hash{}, 0, errors.Join(err, os.Remove(w.file.Name()))
	}
	for _, h := range also {
		if h.Algorithm == pir.B3 || h.IsZero() {
			continue
		}
		name, text := w.dir.by(h), []byte(hash.String())
		if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, text) {
			continue
		}
		if err := atomicfile.Replace(name, text); err != nil {
			return pir.Hash{}, 0, err
		}
	}
	w.dir.mu.Lock()
	w.dir.checked[hash] = true
	w.dir.mu.Unlock()
	return hash, size, nil
}

func (w *folderWriter) Close() error {
	if w.done {
		return nil
	}
	w.done = true
	return errors.Join(w.file.Close(), os.Remove(w.file.Name()))
}
