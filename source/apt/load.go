package apt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
)

// Getter is the set of operations that a Loader needs to download.
type Getter interface {
	// Get returns what is at an address. More than limit bytes are an error. If nothing is there, the error has the code protocol.NotFound.
	Get(ctx context.Context, address string, limit int64) ([]byte, error)
}

// A Suite is a suite that is wanted, by its code name, and the archives that may have it, best first.
type Suite struct {
	Name     string
	Archives []Archive
}

// An Archive is the address of a repository, without a slash at the end, and the keys that may sign its suites.
type Archive struct {
	Base string
	Keys Keyring
}

// maxPackages bounds a compressed packages or contents file, in bytes.
const maxPackages = 256 << 20

// A Loader reads the index of suites, from their archives or from its cache. Its methods are safe for concurrent use.
type Loader struct {
	// Getter downloads; nil is offline: the loader reads what it downloaded before.
	Getter Getter
	// Cache is a folder for what was downloaded and verified; "" keeps nothing.
	Cache string
	// Dates is the file of the dates of the newest index of each suite that was used; "" keeps none.
	Dates string
	// Now is the clock; nil is the real one.
	Now func() time.Time
}

// A Signed is the verified Release of a suite, and the archive that has it.
type Signed struct {
	*Release
	Suite   string // the code name
	archive Archive
}

func (l *Loader) now() time.Time {
	if l.Now == nil {
		return time.Now()
	}
	return l.Now()
}

// Release downloads the InRelease of a suite, verifies its signature and its dates, and remembers it. It refuses one that is older than before.
// Offline it returns the one that was used last, which may have expired since.
func (l *Loader) Release(ctx context.Context, s Suite) (*Signed, error) {
	if l.Getter == nil {
		return l.cachedRelease(s)
	}
	if len(s.Archives) == 0 {
		return nil, noArchive(s.Name)
	}
	var failures []error
	for _, a := range s.Archives {
		r, err := l.releaseFrom(ctx, a, s.Name)
		if err == nil {
			return r, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if protocol.CodeOf(err) == protocol.Differs { // it was used before, so no other archive can be better
			return nil, err
		}
		failures = append(failures, err)
	}
	return nil, fmt.Errorf("suite %s: %w", s.Name, errors.Join(failures...))
}

func noArchive(suite string) error {
	return protocol.Errorf(protocol.Unavailable, "apt's sources name no archive of %s for %s", Distribution, suite).
		WithHint("add one to /etc/apt/sources.list.d, with its keys: sources.list(5)")
}

func (l *Loader) releaseFrom(ctx context.Context, a Archive, suite string) (*Signed, error) {
	message, err := l.Getter.Get(ctx, a.Base+"/dists/"+suite+"/InRelease", maxRelease)
	if err != nil {
		return nil, err
	}
	r, err := a.read(message, l.now())
	if err != nil {
		return nil, err
	}
	if err := r.Check(suite, l.now()); err != nil {
		return nil, err
	}
	if err := l.newer(r); err != nil {
		return nil, err
	}
	return &Signed{r, suite, a}, l.keepRelease(suite, message)
}

// read verifies an InRelease and reads its text.
func (a Archive) read(message []byte, now time.Time) (*Release, error) {
	text, err := a.Keys.Verify(message, now)
	if err != nil {
		return nil, err
	}
	return ParseRelease(text)
}

// Index returns the index of some suites for an architecture. An earlier suite counts before a later one that has a package in the same version.
func (l *Loader) Index(ctx context.Context, suites []*Signed, components []string, arch string) (*Index, error) {
	x := NewIndex(arch)
	for _, s := range suites {
		for _, component := range components {
			text, err := l.packages(ctx, s, component, arch)
			if err != nil {
				return nil, err
			}
			if err := x.Read(s.Suite, bytes.NewReader(text)); err != nil {
				return nil, err
			}
		}
		x.Suites = append(x.Suites, SuiteDate{s.Suite, s.Date.UTC()})
	}
	return x, nil
}

// packages returns the text of a packages file, or of as much of it as an Index needs.
func (l *Loader) packages(ctx context.Context, s *Signed, component, arch string) ([]byte, error) {
	name := component + "/binary-" + arch + "/Packages.xz"
	want, ok := s.Files[name]
	if !ok {
		return nil, protocol.Errorf(protocol.NotFound, "suite %s has no packages for %s %s", s.Suite, component, arch).WithHint("Debian's architectures are amd64, arm64 and others")
	}
	if text, ok := l.cachedPackages(s.Suite, component, arch, want.SHA256); ok {
		return text, nil
	}
	packed, err := l.file(ctx, s, name)
	if err != nil {
		return nil, err
	}
	plain, _, done, err := archive.Decompress(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer done()
	limit := int64(maxIndexText)
	if signed, ok := s.Files[strings.TrimSuffix(name, ".xz")]; ok { // the size of the plain file, though the archive need not have it
		limit = min(limit, signed.Size)
	}
	var trimmed bytes.Buffer
	for p, err := range ReadPackages(limited(plain, limit)) {
		if err != nil {
			return nil, fmt.Errorf("suite %s, %s: %w", s.Suite, name, err)
		}
		p.write(&trimmed)
	}
	l.keepPackages(s.Suite, component, arch, want.SHA256, trimmed.Bytes())
	return trimmed.Bytes(), nil
}

// file downloads a file that a Release names, and compares its size and hash.
func (l *Loader) file(ctx context.Context, s *Signed, name string) ([]byte, error) {
	if l.Getter == nil {
		return nil, protocol.Errorf(protocol.Offline, "the index of %s is not on this machine: the network is needed and may not be used", s.Suite).
			WithHint("run it once without --offline")
	}
	want, ok := s.Files[name]
	if !ok {
		return nil, protocol.Errorf(protocol.NotFound, "suite %s has no file %s", s.Suite, name)
	}
	if want.Size > maxPackages {
		return nil, protocol.Errorf(protocol.Exhausted, "%s of suite %s has %d bytes, and %d are allowed", name, s.Suite, want.Size, maxPackages)
	}
	folder := s.archive.Base + "/dists/" + s.Suite + "/"
	if s.ByHash {
		body, err := l.Getter.Get(ctx, folder+path.Dir(name)+"/by-hash/SHA256/"+want.SHA256.String(), want.Size)
		if err == nil && want.is(body) {
			return body, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	body, err := l.Getter.Get(ctx, folder+name, want.Size)
	if err != nil {
		return nil, err
	}
	if !want.is(body) {
		return nil, protocol.Errorf(protocol.Mismatch, "%s of suite %s is not the file that the archive signed: %d bytes, SHA-256 %x; want %d bytes, %s",
			name, s.Suite, len(body), sha256.Sum256(body), want.Size, want.SHA256).WithHint("the mirror may be in the middle of an update: try again later, or use another mirror in apt's sources")
	}
	return body, nil
}

func (f File) is(body []byte) bool {
	return int64(len(body)) == f.Size && sha256.Sum256(body) == f.SHA256
}

// write writes the stanza of p in the form that ReadPackages reads.
func (p *Package) write(w *bytes.Buffer) {
	field := func(name, value string) {
		if value != "" {
			w.WriteString(name)
			w.WriteString(": ")
			w.WriteString(value)
			w.WriteByte('\n')
		}
	}
	field("Package", p.Name)
	field("Version", p.Version)
	field("Architecture", p.Arch)
	field("Filename", p.Path)
	field("SHA256", p.SHA256.String())
	fmt.Fprintf(w, "Size: %d\nInstalled-Size: %d\n", p.Size, p.Installed>>10)
	field("Priority", p.Priority)
	if p.Essential {
		field("Essential", "yes")
	}
	field("Pre-Depends", p.preDepends)
	field("Depends", p.depends)
	field("Provides", p.provides)
	field("Conflicts", p.conflicts)
	field("Breaks", p.breaks)
	w.WriteByte('\n')
}
