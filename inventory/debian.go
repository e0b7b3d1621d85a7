package inventory

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/MordragT/nuka/pir"
)

// controlFile is where a fetch of a Debian package with its control files has the description of the package.
const controlFile = "DEBIAN/control"

// maxControl bounds what is read of a control file, in bytes.
const maxControl = 1 << 20

// debian adds the source package of a binary Debian package, as its control file names it. If the package is not on this node, its source stays unknown.
func (w *walk) debian(id pir.PID, part *Part) error {
	if part.Type != "deb" || strings.Contains(part.PURL, "arch=source") || w.own {
		return nil
	}
	if known, ok := w.debs[id]; ok {
		part.Upstream, part.UpstreamVersion = known[0], known[1]
		return nil
	}
	for e, err := range w.store.Content(w.ctx, id) {
		if errors.Is(err, ErrAbsent) {
			break
		}
		if err != nil {
			return err
		}
		if e.Path < controlFile {
			continue
		}
		if e.Path == controlFile {
			text, err := readEntry(&e, maxControl)
			if err != nil {
				return err
			}
			part.Upstream, part.UpstreamVersion = sourceOf(text)
		}
		break // entries are sorted
	}
	w.debs[id] = [2]string{part.Upstream, part.UpstreamVersion}
	return nil
}

func readEntry(e *Entry, most int64) ([]byte, error) {
	f, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return io.ReadAll(io.LimitReader(f, most))
}

// sourceOf returns the source package that a control file names (deb-control(5)): the field Source, with a version in parentheses if it is another one.
func sourceOf(control []byte) (name, version string) {
	fields := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(control))
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if ok && !strings.HasPrefix(key, " ") && fields[strings.ToLower(key)] == "" {
			fields[strings.ToLower(key)] = strings.TrimSpace(value)
		}
	}
	name, version = fields["package"], fields["version"]
	if source := fields["source"]; source != "" {
		var other string
		name, other, _ = strings.Cut(source, " ")
		if other = strings.Trim(other, " ()"); other != "" {
			version = other
		}
	}
	return clean(name), clean(version)
}
