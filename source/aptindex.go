package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/apt"
)

// AptLoader returns a loader of Debian's signed index that downloads as f does. It keeps what it downloads in the folder cache, and the dates of the
// indexes that were used in the file dates. If f is offline, the loader reads only what it kept.
func (f *Fetcher) AptLoader(cache, dates string) *apt.Loader {
	l := &apt.Loader{Cache: cache, Dates: dates}
	if !f.o.Offline {
		l.Getter = aptGetter{f}
	}
	return l
}

type aptGetter struct{ f *Fetcher }

func (g aptGetter) Get(ctx context.Context, address string, limit int64) ([]byte, error) {
	return g.f.getLimited(ctx, place{url: address}, limit)
}

// debianNames are the names that suites of Debian begin with: code names, and the names of their states.
var debianNames = []string{"bullseye", "bookworm", "trixie", "forky", "duke", "sid", "unstable", "testing", "stable", "oldstable", "oldoldstable"}

// debianSuite divides the name of a suite into the release and the part after it, such as security. A suite that is not Debian's is not ok.
func debianSuite(suite string) (part string, ok bool) {
	release, part, _ := strings.Cut(suite, "-")
	if name, old := strings.CutSuffix(release, "/updates"); old { // the name of security before Debian 11
		release, part = name, "security"
	}
	return part, slices.Contains(debianNames, release)
}

// DebianSuites returns where suites of Debian, by their code names, may be: in the archives of apt's sources that have suites of another release, or the same.
// An archive keeps the keys of its entry in apt's sources. If that entry names none, the keys are those in apt's trusted.gpg.d and the distribution's keyring.
// No other setting of apt counts.
func (c *Client) DebianSuites(names []string) ([]apt.Suite, error) {
	sources := c.aptSources()
	var out []apt.Suite
	for _, name := range names {
		want, ok := debianSuite(name)
		if !ok || strings.ContainsAny(name, "/.\\") {
			return nil, protocol.Errorf(protocol.Invalid, "%.100q is no suite of Debian that nuka knows", name).WithHint("use code names, such as trixie-security")
		}
		suite := apt.Suite{Name: name}
		seen := map[[2]string]bool{}
		for _, exact := range []bool{true, false} {
			for _, s := range sources {
				part, ok := debianSuite(s.suite)
				if !ok || !slices.Contains(s.components, "main") || (part == "security") != (want == "security") || (s.suite == name) != exact || seen[[2]string{s.base, s.signedBy}] {
					continue
				}
				seen[[2]string{s.base, s.signedBy}] = true
				keys, err := c.aptKeys(s.signedBy)
				if err != nil {
					return nil, err
				}
				suite.Archives = append(suite.Archives, apt.Archive{Base: s.base, Keys: keys})
			}
		}
		out = append(out, suite)
	}
	return out, nil
}

// aptKeys returns the keys that an entry of apt's sources names with Signed-By: a key in the entry itself, files, or fingerprints of apt's own keys.
func (c *Client) aptKeys(signedBy string) (apt.Keyring, error) {
	if strings.Contains(signedBy, "-----BEGIN") {
		var lines []string
		for line := range strings.Lines(signedBy) {
			if line = strings.TrimSpace(line); line == "." { // an empty line in deb822(5)
				line = ""
			}
			lines = append(lines, line)
		}
		return apt.ReadKeyring([]byte(strings.TrimSpace(strings.Join(lines, "\n")) + "\n"))
	}
	words := strings.FieldsFunc(signedBy, func(r rune) bool { return strings.ContainsRune(", \t\n", r) })
	if len(words) == 0 {
		return c.aptOwnKeys()
	}
	var ring apt.Keyring
	for _, word := range words {
		var keys apt.Keyring
		var err error
		if strings.HasPrefix(word, "/") {
			keys, err = readKeyring(c.system(filepath.FromSlash(word)))
		} else if keys, err = c.aptOwnKeys(); err == nil {
			keys = keys.Only(strings.TrimSuffix(word, "!"))
		}
		if err != nil {
			return ring, err
		}
		ring.Add(keys)
	}
	return ring, nil
}

// aptOwnKeys returns the keys that apt trusts for entries without Signed-By, and those that the distribution ships for its own archive.
func (c *Client) aptOwnKeys() (ring apt.Keyring, err error) {
	var files []string
	for _, pattern := range []string{"etc/apt/trusted.gpg.d/*.gpg", "etc/apt/trusted.gpg.d/*.asc", "usr/share/keyrings/debian-archive-keyring.*"} {
		found, _ := filepath.Glob(c.system(filepath.FromSlash(pattern)))
		files = append(files, found...)
	}
	for _, file := range files {
		keys, err := readKeyring(file)
		if err != nil {
			return ring, err
		}
		ring.Add(keys)
	}
	if ring.Len() == 0 {
		return ring, protocol.Errorf(protocol.NotFound, "this machine has no keys of Debian's archive").WithHint("install debian-archive-keyring")
	}
	return ring, nil
}

func readKeyring(file string) (apt.Keyring, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return apt.Keyring{}, protocol.Errorf(protocol.NotFound, "%s, which apt's sources name as keys, does not exist", file).WithHint("install debian-archive-keyring")
	}
	if err != nil {
		return apt.Keyring{}, err
	}
	ring, err := apt.ReadKeyring(content)
	if err != nil {
		return ring, protocol.Errorf(protocol.Invalid, "%s: %v", file, err)
	}
	return ring, nil
}
