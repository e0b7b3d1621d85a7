package feed

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/advisory/osv"
)

var endedPattern = sync.OnceValues(func() (*regexp.Regexp, *regexp.Regexp) {
	return regexp.MustCompile(`^security-support-ended\.deb([1-9][0-9]?)$`), regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
})

// endedRelease returns the release of Debian that a file of ended security support is about.
func endedRelease(name string) (string, bool) {
	file, _ := endedPattern()
	m := file.FindStringSubmatch(path.Base(name))
	if m == nil {
		return "", false
	}
	return m[1], true
}

// addEnded adds the lines of a file of ended security support: a source package, the last version with support, the day when support ends, and a text. The package of the release is unsupported
// in every version from that day on, as the file's own program says. A name that is a pattern, and a line that cannot be read, are broken.
func (b *Builder) addEnded(release string, text []byte) error {
	_, plain := endedPattern()
	for one := range bytes.Lines(text) {
		line := strings.TrimSpace(string(one))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Fields(line)
		id := fmt.Sprintf("ENDED-deb%s-%s", release, words[0])
		if len(words) < 3 || !plain.MatchString(words[0]) {
			b.Break(printable(id, 100), "it is no package with a version and a day")
			continue
		}
		day, err := time.Parse(time.DateOnly, words[2])
		if err != nil {
			b.Break(id, fmt.Sprintf("%.40q is no day", words[2]))
			continue
		}
		if time.Now().Before(day) {
			continue
		}
		r := &osv.Record{ID: strings.ReplaceAll(id, "+", "_"), Modified: day.UTC().Format(time.RFC3339), Notice: osv.Unsupported,
			Summary:  strings.TrimSpace("no security updates since " + words[2] + ": " + strings.Join(words[3:], " ")),
			Affected: []osv.Affected{{Ecosystem: "Debian:" + release, Name: words[0], Ranges: []osv.Range{{Type: "ECOSYSTEM", Events: []osv.Event{{Introduced: "0"}}}}}}}
		r.Summary = strings.ToValidUTF8(r.Summary[:min(len(r.Summary), 300)], "")
		if err := b.Add(r); err != nil {
			return err
		}
	}
	return nil
}
