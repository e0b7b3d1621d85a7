package apt

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strconv"
	"strings"

	"github.com/MordragT/nuka/internal/bounded"
	"github.com/MordragT/nuka/protocol"
)

// A Package is a stanza of a packages file (deb-control(5)): one version of a binary package.
type Package struct {
	Name, Version, Arch string
	Path                string // in the archive
	SHA256              Digest
	Size                int64 // of the .deb, in bytes
	Installed           int64 // of its files as the package states it, in bytes
	Priority            string
	Essential           bool
	Suite               string

	preDepends, depends, provides, conflicts, breaks string
}

// Bounds of a packages file. Debian's main has 70,000 stanzas, 55 MB, and lines of up to 30 kB.
const (
	maxIndexText   = 1 << 30
	maxIndexLine   = 1 << 20
	maxStanzas     = 1 << 20
	maxStanzaLines = 1000
)

// ReadPackages reads a packages file, which is decompressed already. The sequence ends after the first error.
func ReadPackages(r io.Reader) iter.Seq2[*Package, error] {
	return func(yield func(*Package, error) bool) {
		lines := bufio.NewScanner(limited(r, maxIndexText))
		lines.Buffer(make([]byte, 64<<10), maxIndexLine)
		var s stanza
		stanzas, number := 0, 0
		finish := func() (more bool) {
			if s.lines == 0 {
				return true
			}
			p, err := s.pack()
			if stanzas++; err == nil && stanzas > maxStanzas {
				err = fmt.Errorf("more than %d packages", maxStanzas)
			}
			s = stanza{}
			if err != nil {
				yield(nil, wrongPackages(number, err))
				return false
			}
			return yield(p, nil)
		}
		for lines.Scan() {
			number++
			line := lines.Bytes()
			if len(line) == 0 {
				if !finish() {
					return
				}
				continue
			}
			if err := s.line(line); err != nil {
				yield(nil, wrongPackages(number, err))
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, wrongPackages(number, err))
			return
		}
		finish()
	}
}

func wrongPackages(line int, err error) error {
	if code := protocol.CodeOf(err); errors.Is(err, bufio.ErrTooLong) || code == protocol.Internal {
		return protocol.Errorf(protocol.Invalid, "packages file, line %d: %w", line+1, err)
	}
	return fmt.Errorf("packages file, line %d: %w", line+1, err)
}

// limited reads r, and fails when more bytes come than limit.
func limited(r io.Reader, limit int64) io.Reader {
	return &bounded.Reader{R: r, Left: limit, Over: protocol.Errorf(protocol.Exhausted, "the decompressed file is larger than the limit")}
}

// The fields of a stanza that this package uses.
const (
	fieldPackage = iota
	fieldVersion
	fieldArch
	fieldPath
	fieldSize
	fieldSHA256
	fieldInstalled
	fieldPriority
	fieldEssential
	fieldPreDepends
	fieldDepends
	fieldProvides
	fieldConflicts
	fieldBreaks
	fields
)

var fieldNumbers = map[string]int{
	"Package": fieldPackage, "Version": fieldVersion, "Architecture": fieldArch, "Filename": fieldPath, "Size": fieldSize, "SHA256": fieldSHA256,
	"Installed-Size": fieldInstalled, "Priority": fieldPriority, "Essential": fieldEssential, "Pre-Depends": fieldPreDepends, "Depends": fieldDepends,
	"Provides": fieldProvides, "Conflicts": fieldConflicts, "Breaks": fieldBreaks,
}

// A stanza collects the fields of one package.
type stanza struct {
	values [fields]string
	lines  int
	field  int // to which a folded line belongs, or -1
}

func (s *stanza) line(line []byte) error {
	if s.lines++; s.lines > maxStanzaLines {
		return fmt.Errorf("more than %d lines about one package", maxStanzaLines)
	}
	if line[0] == ' ' || line[0] == '\t' {
		if s.lines == 1 {
			return fmt.Errorf("%.100q continues no field", line)
		}
		if s.field >= 0 {
			s.values[s.field] += " " + strings.TrimSpace(string(line))
		}
		return nil
	}
	i := 0
	for i < len(line) && line[i] != ':' {
		i++
	}
	if i == len(line) {
		return fmt.Errorf("%.100q is no field", line)
	}
	field, ok := fieldNumbers[string(line[:i])]
	if !ok {
		s.field = -1
		return nil
	}
	value := strings.TrimSpace(string(line[i+1:]))
	if s.field = field; s.values[field] != "" {
		return fmt.Errorf("the field %s is there twice", line[:i])
	}
	s.values[field] = value
	return nil
}

// pack checks the fields and returns the package.
func (s *stanza) pack() (*Package, error) {
	v := &s.values
	p := &Package{
		Name: v[fieldPackage], Version: v[fieldVersion], Arch: v[fieldArch], Path: v[fieldPath], Priority: v[fieldPriority], Essential: v[fieldEssential] == "yes",
		preDepends: v[fieldPreDepends], depends: v[fieldDepends], provides: v[fieldProvides], conflicts: v[fieldConflicts], breaks: v[fieldBreaks],
	}
	var err error
	if p.SHA256, err = ParseDigest(v[fieldSHA256]); err != nil {
		return nil, fmt.Errorf("package %.100q: %w", p.Name, err)
	}
	if p.Size, err = strconv.ParseInt(v[fieldSize], 10, 64); err != nil || p.Size < 0 {
		return nil, fmt.Errorf("package %.100q: size %.100q", p.Name, v[fieldSize])
	}
	if kib, err := strconv.ParseInt(v[fieldInstalled], 10, 40); err == nil && kib > 0 {
		p.Installed = kib << 10
	}
	return p, p.check()
}

// check checks the texts that go into lock files, addresses and package files.
func (p *Package) check() error {
	switch {
	case !IsName(p.Name):
		return fmt.Errorf("%.100q is no name of a package", p.Name)
	case !isVersion(p.Version):
		return fmt.Errorf("package %s: %.100q is no version", p.Name, p.Version)
	case !isPath(p.Path):
		return fmt.Errorf("package %s: %.200q is no path in an archive", p.Name, p.Path)
	}
	return nil
}

const maxName = 200 // bytes of a name, and of a version

// IsName reports whether s is the name of a Debian package (Debian policy, section 5.6.1).
func IsName(s string) bool {
	if len(s) < 2 || len(s) > maxName || !isLowerDigit(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLowerDigit(c) && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

func isLowerDigit(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func isAlphaDigit(c byte) bool { return isLowerDigit(c) || 'A' <= c && c <= 'Z' }

// isVersion reports whether s is a version (deb-version(7)).
func isVersion(s string) bool {
	if s == "" || len(s) > maxName || !isAlphaDigit(s[0]) || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlphaDigit(c) && !strings.ContainsRune(".+-~:", rune(c)) {
			return false
		}
	}
	return true
}

// isPath reports whether s is a path below the pool of an archive.
func isPath(s string) bool {
	if len(s) > 4*maxName || !strings.HasPrefix(s, "pool/") || path.Clean(s) != s || !strings.HasSuffix(s, ".deb") {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlphaDigit(c) && !strings.ContainsRune("/.+-~_%:", rune(c)) {
			return false
		}
	}
	return true
}
