package cargo

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/internal/bounded"
)

const (
	maxCrate = 1 << 30 // bytes of a crate, unpacked
	maxLock  = 4 << 20 // bytes of a Cargo.lock
)

// Held implements ecosystem.Holder: a crate is a gzipped tar whose folder NAME-VERSION may have a Cargo.lock.
func (a Adapter) Held(r ecosystem.Request, file io.Reader) ([]ecosystem.File, error) {
	if a.Describe(r) == nil {
		return nil, nil
	}
	z, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	entries := tar.NewReader(&bounded.Reader{R: z, Left: maxCrate, Over: errors.New("the crate is too large")})
	for {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if path.Base(h.Name) != "Cargo.lock" || strings.Count(h.Name, "/") != 1 {
			continue
		}
		text, err := io.ReadAll(&bounded.Reader{R: entries, Left: maxLock, Over: errors.New("its Cargo.lock is too large")})
		if err != nil {
			return nil, err
		}
		return a.Locked("Cargo.lock", text, nil)
	}
}
