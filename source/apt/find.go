package apt

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
)

// A Sought is a file that is looked for: patterns of path.Match for its path without the first slash, best first. The last element of a pattern is a plain name.
type Sought []string

// maxSought bounds the files of one look-up.
const maxSought = 200

// Find returns for each sought file the package that has it, "" if none has. Of several packages those count that match the first pattern, and of these the one
// that Sonames would choose. Packages for all architectures have a contents file of their own, which is read only if the first one lacks a file.
func (l *Loader) Find(ctx context.Context, suites []Suite, components []string, arch string, prefer []string, sought []Sought) ([]string, error) {
	if len(sought) > maxSought {
		return nil, protocol.Errorf(protocol.Exhausted, "%d files are looked for, and %d at once are allowed", len(sought), maxSought)
	}
	x, releases, err := l.indexOnce(ctx, suites, components, arch)
	if err != nil {
		return nil, err
	}
	f := newFinder(x, sought)
	for _, of := range []string{arch, "all"} {
		for _, s := range releases {
			for _, component := range components {
				name := component + "/Contents-" + of + ".gz"
				if _, ok := s.Files[name]; !ok {
					continue
				}
				if err := l.findIn(ctx, s, name, f); err != nil {
					return nil, fmt.Errorf("suite %s: %w", s.Suite, err)
				}
			}
		}
		if f.all() {
			break
		}
	}
	return f.best(prefer), nil
}

// indexOnce returns the index that was downloaded last, and downloads one if there is none.
func (l *Loader) indexOnce(ctx context.Context, suites []Suite, components []string, arch string) (*Index, []*Signed, error) {
	open := func(l *Loader) (*Index, []*Signed, error) {
		var releases []*Signed
		for _, s := range suites {
			r, err := l.Release(ctx, s)
			if err != nil {
				return nil, nil, err
			}
			releases = append(releases, r)
		}
		x, err := l.Index(ctx, releases, components, arch)
		return x, releases, err
	}
	kept := *l
	kept.Getter = nil
	x, releases, err := open(&kept)
	if err == nil || l.Getter == nil || ctx.Err() != nil {
		return x, releases, err
	}
	return open(l)
}

// findIn looks into one contents file.
func (l *Loader) findIn(ctx context.Context, s *Signed, name string, f *finder) error {
	cached := l.contentsFile(s, name)
	if file, err := os.Open(cached); err == nil {
		defer file.Close()
		z, err := gzip.NewReader(file)
		if err == nil {
			err = f.read(z)
		}
		if err == nil {
			return nil
		} // a torn file: it is made again. What was found in it counts: its lines are from a signed file
	}
	body, _, err := l.contents(ctx, s, name)
	if err != nil {
		return err
	}
	plain, _, done, err := archive.Decompress(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer done()
	var kept bytes.Buffer
	z := gzip.NewWriter(&kept)
	f.keep = z
	err = f.read(plain)
	f.keep = nil
	if err != nil || z.Close() != nil || l.Cache == "" {
		return err
	}
	if os.MkdirAll(l.Cache, 0o700) != nil || atomicfile.Replace(cached, kept.Bytes()) != nil {
		return nil // the next run downloads again
	}
	prefix, _, _ := strings.Cut(filepath.Base(cached), "=")
	list, err := os.ReadDir(l.Cache)
	if err != nil {
		return nil //nolint:nilerr // only old files would go
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), prefix+"=") && e.Name() != filepath.Base(cached) {
			_ = os.Remove(filepath.Join(l.Cache, e.Name()))
		}
	}
	return nil
}

// contentsFile is the file of the cache for the lines of a contents file that Find can need. Its name has the hash of the file that the Release signs.
func (l *Loader) contentsFile(s *Signed, name string) string {
	return filepath.Join(l.Cache, s.Suite+"_"+strings.ReplaceAll(strings.TrimSuffix(name, ".gz"), "/", "_")+"="+s.Files[name].SHA256.String()+".gz")
}

// A finder looks for files in contents files.
type finder struct {
	x      *Index
	sought []Sought
	names  map[string][]int // indexes of sought by the plain name of a pattern
	found  [][][]string     // packages, by index and pattern
	keep   io.Writer        // takes the lines that another look-up can need; nil takes none
}

func newFinder(x *Index, sought []Sought) *finder {
	f := &finder{x: x, sought: sought, names: map[string][]int{}, found: make([][][]string, len(sought))}
	for i, patterns := range sought {
		f.found[i] = make([][]string, len(patterns))
		for _, p := range patterns {
			if name := path.Base(p); !slices.Contains(f.names[name], i) {
				f.names[name] = append(f.names[name], i)
			}
		}
	}
	return f
}

// read reads a contents file, which is decompressed already.
func (f *finder) read(r io.Reader) error {
	lines := bufio.NewScanner(limited(r, maxIndexText))
	lines.Buffer(make([]byte, 64<<10), maxIndexLine)
	for lines.Scan() {
		line := lines.Bytes()
		i := bytes.LastIndexAny(line, " \t")
		if i < 0 {
			continue
		}
		file := bytes.TrimRight(line[:i], " \t")
		if f.keep != nil && needed(file) {
			if _, err := f.keep.Write(append(slices.Clone(line), '\n')); err != nil {
				return err
			}
		}
		wanted := f.names[string(file[bytes.LastIndexByte(file, '/')+1:])]
		for _, n := range wanted {
			for j, pattern := range f.sought[n] {
				if ok, err := path.Match(pattern, string(file)); err != nil || !ok {
					continue
				}
				for p := range strings.SplitSeq(string(line[i+1:]), ",") {
					p = p[strings.LastIndexByte(p, '/')+1:]
					if f.x.Package(p) != nil && !slices.Contains(f.found[n][j], p) {
						f.found[n][j] = append(f.found[n][j], p)
					}
				}
			}
		}
	}
	if err := lines.Err(); err != nil {
		return protocol.Errorf(protocol.Invalid, "contents file: %w", err)
	}
	return nil
}

// needed reports whether a build can miss a file: a program, a header, or what finds or links a library.
func needed(file []byte) bool {
	for _, prefix := range []string{"usr/include/", "usr/bin/", "usr/sbin/", "bin/", "sbin/"} {
		if bytes.HasPrefix(file, []byte(prefix)) {
			return true
		}
	}
	for _, suffix := range []string{".pc", ".so", ".a", ".cmake"} {
		if bytes.HasSuffix(file, []byte(suffix)) {
			return true
		}
	}
	return false
}

// all reports whether each sought file was found.
func (f *finder) all() bool {
	return !slices.ContainsFunc(f.found, func(by [][]string) bool {
		return !slices.ContainsFunc(by, func(packages []string) bool { return len(packages) > 0 })
	})
}

// best returns a package for each sought file.
func (f *finder) best(prefer []string) []string {
	out := make([]string, len(f.sought))
	for i, by := range f.found {
		for _, packages := range by {
			if len(packages) > 0 {
				out[i] = slices.MinFunc(packages, func(a, b string) int { return f.x.better(a, b, prefer) })
				break
			}
		}
	}
	return out
}
