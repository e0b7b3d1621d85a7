package ecosystem

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/MordragT/nuka/pir"
)

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	d, err := NewFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("0123456789abcdef", 200_000) // more than one leaf
	sum := sha256.Sum256([]byte(text))
	promised := pir.NewHash(pir.SHA256, sum[:])
	w, err := d.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := d.Find(promised); ok {
		t.Error("found before it was kept")
	}
	hash, size, err := w.Commit(promised)
	if err != nil || size != int64(len(text)) {
		t.Fatalf("got %d bytes, %v", size, err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if d, err = NewFolder(dir); err != nil { // another process
		t.Fatal(err)
	}
	if got, n, ok := d.Find(promised); !ok || got != hash || n != size {
		t.Errorf("Find: got %s, %d, %v", got, n, ok)
	}
	f, err := d.Open(hash)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil || string(got) != text {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if w, err = d.Create(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
	if _, err := d.Open(promised); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("another algorithm: got %v", err)
	}

	if err := os.WriteFile(d.file(hash), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err = NewFolder(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open(hash); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("damaged: got %v", err)
	}
	if _, _, ok := d.Find(promised); ok {
		t.Error("a damaged file is found")
	}
}
