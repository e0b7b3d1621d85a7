package apt

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/protocol"
)

// cachedRelease returns the InRelease that was used last. Its signature is verified again; its Valid-Until is not, because nothing newer can be had.
func (l *Loader) cachedRelease(s Suite) (*Signed, error) {
	offline := protocol.Errorf(protocol.Offline, "the index of %s is not on this machine: the network is needed and may not be used", s.Name).
		WithHint("run it once without --offline")
	if l.Cache == "" {
		return nil, offline
	}
	message, err := os.ReadFile(l.releaseFile(s.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, offline
	}
	if err != nil {
		return nil, err
	}
	failure := noArchive(s.Name)
	for _, a := range s.Archives {
		r, err := a.read(message, l.now())
		if err == nil {
			err = r.is(s.Name)
		}
		if err == nil {
			return &Signed{r, s.Name, a}, nil
		}
		failure = err
	}
	return nil, failure
}

func (l *Loader) releaseFile(suite string) string {
	return filepath.Join(l.Cache, suite+".InRelease")
}

func (l *Loader) keepRelease(suite string, message []byte) error {
	if l.Cache == "" {
		return nil
	}
	if err := os.MkdirAll(l.Cache, 0o700); err != nil {
		return err
	}
	return atomicfile.Replace(l.releaseFile(suite), message)
}

// packagesPrefix begins the names of a suite's packages files in the cache.
func packagesPrefix(suite, component, arch string) string {
	return suite + "_" + component + "_" + arch + "_"
}

// cachedPackages returns the trimmed packages file that was made of the file with a hash. Its gzip checksum shows a torn file.
func (l *Loader) cachedPackages(suite, component, arch string, sum Digest) ([]byte, bool) {
	if l.Cache == "" {
		return nil, false
	}
	f, err := os.Open(filepath.Join(l.Cache, packagesPrefix(suite, component, arch)+sum.String()+".gz"))
	if err != nil {
		return nil, false
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, false
	}
	text, err := io.ReadAll(limited(z, maxIndexText))
	return text, err == nil
}

// keepPackages keeps a trimmed packages file in place of the one before. If it cannot, the next run downloads again.
func (l *Loader) keepPackages(suite, component, arch string, sum Digest, text []byte) {
	if l.Cache == "" {
		return
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return
	}
	if _, err := z.Write(text); err != nil || z.Close() != nil {
		return
	}
	prefix := packagesPrefix(suite, component, arch)
	name := prefix + sum.String() + ".gz"
	if os.MkdirAll(l.Cache, 0o700) != nil || atomicfile.Replace(filepath.Join(l.Cache, name), packed.Bytes()) != nil {
		return
	}
	list, err := os.ReadDir(l.Cache)
	if err != nil {
		return
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), prefix) && e.Name() != name {
			_ = os.Remove(filepath.Join(l.Cache, e.Name()))
		}
	}
}

// newer refuses a Release that is older than the newest one that was used, and remembers it.
func (l *Loader) newer(r *Release) error {
	if l.Dates == "" {
		return nil
	}
	dates, err := readDates(l.Dates)
	if err != nil {
		return err
	}
	if err := r.NotOlder(dates[r.Codename]); err != nil {
		return err
	}
	if dates[r.Codename].Equal(r.Date) {
		return nil
	}
	dates[r.Codename] = r.Date
	if err := os.MkdirAll(filepath.Dir(l.Dates), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(l.Dates, writeDates(dates))
}

// readDates reads the file of dates: a suite and its date in each line.
func readDates(path string) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		suite, date, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		at, err := time.Parse(lockDate, date)
		if err != nil || !isWord(suite) {
			return nil, protocol.Errorf(protocol.Damaged, "%s: the line %.100q", path, line).
				WithHint("it keeps an index from going back; if you remove it, the next index counts as the newest")
		}
		out[suite] = at
	}
	return out, nil
}

func writeDates(dates map[string]time.Time) []byte {
	var lines []string
	for suite, at := range dates {
		lines = append(lines, fmt.Sprintf("%s %s\n", suite, at.UTC().Format(lockDate)))
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, ""))
}
