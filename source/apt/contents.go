package apt

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
	"github.com/MordragT/nuka/source/debversion"
)

// triplets are the names of the folders in which the loader of an architecture looks (Debian policy, section 9.1.1).
var triplets = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}

// A sonameBuilder collects the names of libraries from contents files.
type sonameBuilder struct {
	x       *Index
	public  owners            // names in folders of the loader
	private map[string]owners // names in folders one below those, by the folder
	folders map[string]bool   // of the loader
}

func newSonameBuilder(x *Index) *sonameBuilder {
	b := &sonameBuilder{x: x, public: owners{}, private: map[string]owners{}, folders: map[string]bool{"lib": true, "usr/lib": true}}
	if t := triplets[x.Arch]; t != "" {
		b.folders["lib/"+t], b.folders["usr/lib/"+t] = true, true
	}
	if x.Arch == "amd64" {
		b.folders["lib64"], b.folders["usr/lib64"] = true, true
	}
	return b
}

// read reads a contents file, which is decompressed already: lines of a path, white space, and the packages that have it, each with its section.
// It counts paths of libraries whose packages are in the index, and ignores all other lines.
func (b *sonameBuilder) read(r io.Reader) error {
	lines := bufio.NewScanner(limited(r, maxIndexText))
	lines.Buffer(make([]byte, 64<<10), maxIndexLine)
	for lines.Scan() {
		line := lines.Bytes()
		if !bytes.Contains(line, []byte(".so")) {
			continue
		}
		i := bytes.LastIndexAny(line, " \t")
		if i < 0 {
			continue
		}
		file := string(bytes.TrimRight(line[:i], " \t"))
		name := path.Base(file)
		versioned := isVersioned(name)
		if !isSoname(name) || !versioned && !strings.HasSuffix(name, ".so") {
			continue
		}
		folder := path.Dir(file)
		public := b.folders[folder]
		if !public && (!versioned || !b.folders[path.Dir(folder)]) {
			continue
		}
		for p := range strings.SplitSeq(string(line[i+1:]), ",") {
			p = p[strings.LastIndexByte(p, '/')+1:]
			// A name without version is what programs need only if it is no development link.
			if b.x.Package(p) == nil || !versioned && strings.HasSuffix(p, "-dev") {
				continue
			}
			if public {
				b.public.add(name, p)
				continue
			}
			if b.private[folder] == nil {
				b.private[folder] = owners{}
			}
			b.private[folder].add(name, p)
		}
	}
	if err := lines.Err(); err != nil {
		return protocol.Errorf(protocol.Invalid, "contents file: %w", err)
	}
	return nil
}

// isVersioned reports whether a file name is that of a library with a version, such as libc.so.6.
func isVersioned(name string) bool {
	_, version, ok := strings.Cut(name, ".so.")
	return ok && version != "" && '0' <= version[0] && version[0] <= '9'
}

// finish adds the libraries that Debian's alternatives choose among, and returns the table. Such a library lies in a folder of its package, and its packages
// provide its name; other libraries of that folder count, too, because they need each other.
func (b *sonameBuilder) finish(prefer []string) *Sonames {
	provided := func(name string) bool { return len(b.x.providers(name)) > 0 }
	public := maps.Clone(b.public)
	for _, names := range b.private {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(names)), provided) {
			continue
		}
		for name, packages := range names {
			if len(public[name]) == 0 || provided(name) {
				b.public.add(name, packages...)
			}
		}
	}
	s := &Sonames{Arch: b.x.Arch}
	s.text, s.lines = b.public.sonames(b.x, prefer)
	return s
}

// better orders the owners of one library: preferred ones, then by priority, then the shorter name, which is the plain variant, then the higher version in the name.
func (x *Index) better(a, b string, prefer []string) int {
	liked := func(name string) int {
		if slices.Contains(prefer, name) {
			return 0
		}
		return 1
	}
	rank := func(name string) int {
		if p := x.Package(name); p != nil {
			return priority(p)
		}
		return 5
	}
	return cmp.Or(liked(a)-liked(b), rank(a)-rank(b), len(a)-len(b), debversion.Compare(b, a), strings.Compare(a, b))
}

// BuildSonames returns the table of libraries of one contents file, which is decompressed already.
func BuildSonames(contents io.Reader, x *Index, prefer []string) (*Sonames, error) {
	b := newSonameBuilder(x)
	if err := b.read(contents); err != nil {
		return nil, err
	}
	return b.finish(prefer), nil
}

// Sonames makes the table of libraries of some suites. A contents file may be older than the index: an archive often keeps an old one. Then a Release of
// the same code name must have signed it, which the archive has under the name of the suite's state, such as stable.
// If have is the table of the same files already, it is returned.
func (l *Loader) Sonames(ctx context.Context, suites []*Signed, components []string, x *Index, prefer []string, have *Sonames) (*Sonames, error) {
	b := newSonameBuilder(x)
	var from []ContentsDate
	var bodies [][]byte
	for _, s := range suites {
		for _, component := range components {
			name := component + "/Contents-" + x.Arch + ".gz"
			if _, ok := s.Files[name]; !ok {
				continue
			}
			body, date, err := l.contents(ctx, s, name)
			if err != nil {
				return nil, err
			}
			from, bodies = append(from, date), append(bodies, body)
		}
	}
	if have != nil && have.Arch == x.Arch && slices.Equal(have.From, from) {
		return have, nil
	}
	for i, body := range bodies {
		plain, _, done, err := archive.Decompress(bytes.NewReader(body))
		if err == nil {
			err = b.read(plain)
			done()
		}
		if err != nil {
			return nil, fmt.Errorf("suite %s: %w", from[i].Suite, err)
		}
	}
	s := b.finish(prefer)
	s.From = from
	if s.Len() == 0 {
		return nil, protocol.Errorf(protocol.NotFound, "the contents files name no library for %s", x.Arch)
	}
	return s, nil
}

// contents downloads the contents file of a suite, and finds the Release that signed it.
func (l *Loader) contents(ctx context.Context, s *Signed, name string) ([]byte, ContentsDate, error) {
	body, failure := l.file(ctx, s, name)
	if failure == nil {
		return body, ContentsDate{s.Suite, s.Date.UTC(), s.Files[name].SHA256}, nil
	}
	if l.Getter == nil || ctx.Err() != nil || s.Release.Suite == s.Suite || !isWord(s.Release.Suite) {
		return nil, ContentsDate{}, failure
	}
	folder := s.archive.Base + "/dists/" + s.Release.Suite + "/"
	message, err := l.Getter.Get(ctx, folder+"InRelease", maxRelease)
	if err != nil {
		return nil, ContentsDate{}, errors.Join(failure, err)
	}
	older, err := s.archive.read(message, l.now())
	if err == nil {
		err = older.is(s.Suite)
	}
	want, ok := File{}, false
	if err == nil {
		want, ok = older.Files[name]
	}
	if err != nil || !ok || want.Size > maxPackages {
		return nil, ContentsDate{}, errors.Join(failure, err)
	}
	body, err = l.Getter.Get(ctx, folder+name, want.Size)
	if err != nil {
		return nil, ContentsDate{}, errors.Join(failure, err)
	}
	if !want.is(body) {
		return nil, ContentsDate{}, failure
	}
	return body, ContentsDate{s.Suite, older.Date.UTC(), sha256.Sum256(body)}, nil
}
