package ecosystem

import (
	"archive/zip"
	"crypto/md5"  //nolint:gosec // some registries promise nothing better
	"crypto/sha1" //nolint:gosec // some registries promise nothing better
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// hashers are the algorithms of promises that are computed over the bytes of a file.
var hashers = map[string]func() hash.Hash{
	"sha256": sha256.New, "sha512": sha512.New, "sha384": sha512.New384, "sha224": sha256.New224, "sha1": sha1.New, "md5": md5.New,
}

// sums computes the hashes of a file that promises need, as its bytes pass.
type sums struct {
	by   map[string]hash.Hash
	tree *cid.FileBuilder // nil unless a promise is of the B3 kind
	size int64
}

func newSums(files []*File) *sums {
	s := &sums{by: map[string]hash.Hash{}}
	need := func(algorithm string) {
		if begin := hashers[algorithm]; begin != nil && s.by[algorithm] == nil {
			s.by[algorithm] = begin()
		}
	}
	for _, f := range files {
		need(string(f.Promised.Algorithm))
		algorithm, _, _ := strings.Cut(f.Weak, ":")
		need(algorithm)
		if f.Promised.Algorithm == pir.B3 {
			s.tree = cid.NewFile(false)
		}
	}
	return s
}

// Write never fails.
func (s *sums) Write(p []byte) (int, error) {
	for _, h := range s.by {
		h.Write(p)
	}
	if s.tree != nil {
		_, _ = s.tree.Write(p)
	}
	s.size += int64(len(p))
	return len(p), nil
}

// verified returns the hashes of pir that the bytes have and that f promises. An error says what is different; content reads the bytes.
func (s *sums) verified(f *File, content io.ReaderAt) (also []pir.Hash, err error) {
	if f.Size > 0 && f.Size != s.size {
		return nil, fmt.Errorf("it has %d bytes, and %d are promised", s.size, f.Size)
	}
	if h := f.Promised; !h.IsZero() {
		var got pir.Hash
		switch {
		case h.Algorithm == pir.H1:
			if got, err = moduleHash(content, s.size, f.Name); err != nil {
				return nil, err
			}
		case h.Algorithm == pir.B3:
			c, _, _, _ := s.tree.Finish()
			got = pir.HashOf(c)
		default:
			got = pir.NewHash(h.Algorithm, s.by[string(h.Algorithm)].Sum(nil))
		}
		if got != h {
			return nil, fmt.Errorf("its hash is %s, and %s is promised", got, h)
		}
		also = append(also, h)
	}
	if algorithm, want, ok := strings.Cut(f.Weak, ":"); ok {
		h := s.by[algorithm]
		if h == nil {
			return nil, fmt.Errorf("the promised hash %.100q is of an unknown kind", f.Weak)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != strings.ToLower(want) {
			return nil, fmt.Errorf("its hash is %s:%s, and %s is promised", algorithm, got, f.Weak)
		}
	}
	return also, nil
}

const (
	maxModule      = 500 << 20 // bytes of a module, unpacked (golang.org/x/mod/zip, MaxZipFile)
	maxModuleFiles = 1 << 17
)

// moduleHash returns the hash of a module's archive, or of its go.mod file (golang.org/x/mod/sumdb/dirhash, Hash1).
func moduleHash(content io.ReaderAt, size int64, name string) (pir.Hash, error) {
	total := sha256.New()
	if strings.HasSuffix(name, ".mod") {
		one := sha256.New()
		if _, err := io.Copy(one, io.NewSectionReader(content, 0, size)); err != nil {
			return pir.Hash{}, err
		}
		fmt.Fprintf(total, "%x  go.mod\n", one.Sum(nil))
		return pir.NewHash(pir.H1, total.Sum(nil)), nil
	}
	z, err := zip.NewReader(content, size)
	if err != nil {
		return pir.Hash{}, fmt.Errorf("it is no archive of a module: %w", err)
	}
	if len(z.File) > maxModuleFiles {
		return pir.Hash{}, fmt.Errorf("it has more than %d files", maxModuleFiles)
	}
	slices.SortFunc(z.File, func(a, b *zip.File) int { return strings.Compare(a.Name, b.Name) })
	left := int64(maxModule)
	for _, f := range z.File {
		if strings.Contains(f.Name, "\n") {
			return pir.Hash{}, errors.New("a name in it has a line feed")
		}
		n, sum, err := sumEntry(f, left)
		if err != nil {
			return pir.Hash{}, fmt.Errorf("%s in it: %w", f.Name, err)
		}
		left -= n
		fmt.Fprintf(total, "%x  %s\n", sum, f.Name)
	}
	return pir.NewHash(pir.H1, total.Sum(nil)), nil
}

func sumEntry(f *zip.File, left int64) (int64, []byte, error) {
	r, err := f.Open()
	if err != nil {
		return 0, nil, err
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(r, left+1))
	if err == nil && n > left {
		err = fmt.Errorf("the module has more than %d bytes", int64(maxModule))
	}
	return n, h.Sum(nil), err
}
