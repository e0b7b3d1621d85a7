package apt

import (
	"encoding/hex"
	"fmt"
	"net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/MordragT/nuka/protocol"
)

// A Release is the signed text of a suite's InRelease (the Release file of the Debian repository format).
type Release struct {
	Origin, Suite, Codename string
	Date                    time.Time
	ValidUntil              time.Time // zero: no limit
	ByHash                  bool      // the archive keeps files under their hashes, too
	Files                   map[string]File
}

// A File is a file that a Release names.
type File struct {
	Size   int64
	SHA256 Digest
}

// A Digest is a SHA-256.
type Digest [32]byte

// String returns the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero reports whether d is the zero Digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// ParseDigest reads a digest in hexadecimal, in lower case.
func ParseDigest(s string) (d Digest, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) || s != strings.ToLower(s) {
		return d, fmt.Errorf("%.100q is no SHA-256 in hexadecimal", s)
	}
	copy(d[:], b)
	return d, nil
}

// maxFiles bounds the files that one Release names.
const maxFiles = 100_000

// maxFuture is how far the date of a Release may lie ahead of this machine's clock.
const maxFuture = 24 * time.Hour

// ParseRelease reads the text of a Release. Call it with what Keyring.Verify returned.
func ParseRelease(text []byte) (*Release, error) {
	r := &Release{Files: map[string]File{}}
	seen := map[string]bool{}
	field := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "":
			return nil, wrongRelease("an empty line")
		case line[0] == ' ':
			if field == "sha256" {
				if err := r.file(line); err != nil {
					return nil, err
				}
			}
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		field = strings.ToLower(name)
		if !ok || seen[field] {
			return nil, wrongRelease("the line %.100q", line)
		}
		seen[field] = true
		if err := r.field(field, strings.TrimSpace(value)); err != nil {
			return nil, err
		}
	}
	if r.Codename == "" || r.Date.IsZero() || len(r.Files) == 0 {
		return nil, wrongRelease("no Codename, Date or SHA256")
	}
	return r, nil
}

func (r *Release) field(name, value string) (err error) {
	switch name {
	case "origin":
		r.Origin = value
	case "suite":
		r.Suite = value
	case "codename":
		r.Codename = value
	case "acquire-by-hash":
		r.ByHash = value == "yes"
	case "date":
		r.Date, err = mail.ParseDate(value)
	case "valid-until":
		r.ValidUntil, err = mail.ParseDate(value)
	}
	if err != nil {
		return wrongRelease("%s: %v", name, err)
	}
	return nil
}

// file reads one line of the field SHA256.
func (r *Release) file(line string) error {
	f := strings.Fields(line)
	if len(f) != 3 {
		return wrongRelease("the line %.100q", line)
	}
	sum, err := ParseDigest(f[0])
	if err != nil {
		return wrongRelease("%v", err)
	}
	size, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil || size < 0 {
		return wrongRelease("the size %.100q", f[1])
	}
	if old, ok := r.Files[f[2]]; ok && old != (File{size, sum}) || len(r.Files) >= maxFiles {
		return wrongRelease("%.100q is listed twice, or there are more than %d files", f[2], maxFiles)
	}
	r.Files[f[2]] = File{size, sum}
	return nil
}

func wrongRelease(format string, args ...any) error {
	return protocol.Errorf(protocol.Invalid, "the archive's Release is not of the known form: "+format, args...)
}

// Check returns an error if r is not of the suite with this code name, or if it is too old or too new at the time now.
func (r *Release) Check(codename string, now time.Time) error {
	if err := r.is(codename); err != nil {
		return err
	}
	if !r.ValidUntil.IsZero() && now.After(r.ValidUntil) {
		return protocol.Errorf(protocol.Unavailable, "the index of %s expired on %s", codename, day(r.ValidUntil)).
			WithHint("the mirror is not updated, or this machine's clock is wrong: use another mirror in apt's sources")
	}
	if r.Date.After(now.Add(maxFuture)) {
		return protocol.Errorf(protocol.Unavailable, "the index of %s is of %s, which is in the future", codename, day(r.Date)).WithHint("set this machine's clock")
	}
	return nil
}

// is checks the code name, and the distribution: an archive signs all its suites with the same keys.
func (r *Release) is(codename string) error {
	if r.Codename != codename || r.Origin != Distribution {
		return protocol.Errorf(protocol.Denied, "the archive answered with %.50s %.50s in place of %s %s", r.Origin, r.Codename, Distribution, codename).
			WithHint("use another mirror in apt's sources")
	}
	return nil
}

// Distribution is the Origin of the suites that this package reads.
const Distribution = "Debian"

// NotOlder returns an error if r is older than the index of its suite that was used before.
func (r *Release) NotOlder(seen time.Time) error {
	if r.Date.Before(seen) {
		return protocol.Errorf(protocol.Differs, "the index of %s goes back: it is of %s, and one of %s was used before", r.Codename, day(r.Date), day(seen)).
			WithHint("the mirror is behind, or somebody replays an old index: use another mirror in apt's sources, or try again later")
	}
	return nil
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
