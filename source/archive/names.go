package archive

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/MordragT/nuka/pir/cid"
)

// A name is the path of an entry. Raw holds its parts in the archive's own encoding.
type name struct {
	parts, raw []string
}

func (n name) String() string { return strings.Join(n.parts, "/") }

// splitName returns the parts of an entry's name, as tar and unzip read it:
// leading slashes, empty parts and dots are dropped.
func splitName(text string) (name, error) {
	var n name
	if text == "" || len(text) > 4096 {
		return n, refuse(text, "an empty or overlong name")
	}
	for part := range strings.SplitSeq(text, "/") {
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			return n, refuse(text, "a name that leads out of the archive")
		}
		turned := toUTF8(part)
		if err := cid.CheckName(turned); err != nil {
			return n, refuse(text, err.Error())
		}
		n.parts, n.raw = append(n.parts, turned), append(n.raw, part)
	}
	if len(n.parts) > maxDepth {
		return n, refuse(text, fmt.Sprintf("more than %d folders deep", maxDepth))
	}
	return n, nil
}

// toUTF8 converts one part of a path to UTF-8, which the store requires for names.
// A tar does not declare the encoding of its names. A part that is not UTF-8 is read as ISO 8859-1:
// each byte becomes one character, so different names stay different. Links are converted part by part like names, so they still lead to them.
func toUTF8(part string) string {
	if utf8.ValidString(part) {
		return part
	}
	turned, err := charmap.ISO8859_1.NewDecoder().String(part)
	if err != nil {
		return part // no store accepts it; this encoding never gets here
	}
	return turned
}

// linkTarget returns a link's target in UTF-8.
func linkTarget(target string) string {
	if utf8.ValidString(target) {
		return target
	}
	parts := strings.Split(target, "/")
	for i, p := range parts {
		parts[i] = toUTF8(p)
	}
	return strings.Join(parts, "/")
}

// clean returns the entry's name below the root, or "" if stripping leaves nothing.
func (w *treeWriter) clean(text string) (string, error) {
	n, err := splitName(text)
	if err != nil {
		return "", err
	}
	if len(n.parts) <= w.strip {
		return "", nil
	}
	n.parts, n.raw = n.parts[w.strip:], n.raw[w.strip:]
	if err := w.checkTurned(text, n); err != nil {
		return "", err
	}
	return n.String(), nil
}

// checkTurned refuses a name whose conversion to UTF-8 equals another entry's name.
func (w *treeWriter) checkTurned(text string, n name) error {
	if len(w.turned) == 0 && slices.Equal(n.parts, n.raw) {
		return nil
	}
	now, raw, turned := "", "", false
	for i, part := range n.parts {
		now, raw = join(now, part), join(raw, n.raw[i])
		turned = turned || part != n.raw[i]
		before, known := w.turned[now]
		switch {
		case known && before != raw, !known && turned && w.kinds[now] != 0:
			return refuse(text, fmt.Sprintf("turned into UTF-8 it is another entry's name, %.200q", now))
		case turned && !known:
			w.turned[now] = raw
		}
	}
	return nil
}

func join(dir, part string) string {
	if dir == "" {
		return part
	}
	return dir + "/" + part
}
