package inventory

import (
	"context"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"

	"github.com/MordragT/nuka/internal/lazyregexp"
)

// An Entry is a file of a content.
type Entry struct {
	Path string // with slashes
	Size int64
	Exec bool
	// Open opens it. The caller closes it.
	Open func() (OpenFile, error)
}

// OpenFile is an open file of a content.
type OpenFile interface {
	io.ReaderAt
	io.Reader
	io.Closer
}

// Bounds of what is read of a content that somebody built: it may name what it likes, but not hold the node.
const (
	maxEntries = 2_000_000
	maxText    = 1 << 20 // bytes of METADATA or package.json
	maxTexts   = 50_000
	minProgram = 64 << 10 // bytes; Go's and Rust's are larger
	maxProgram = 1 << 30
	maxProgs   = 500
)

// A content is what the files of a package name.
type content struct {
	parts list
	kinds map[string]bool // types that it names parts of
	jars  map[string]bool // file names
	texts int
	progs int
	over  map[string]bool // bounds that were reached
}

func (c *content) skipped() (why []string) {
	for text := range c.over {
		why = append(why, text)
	}
	return why
}

func (c *content) found(kind, name, version, license string) {
	name = normal(kind, name)
	if name == "" || len(name) > 1<<10 || len(version) > 1<<10 || len(license) > 1<<10 {
		return
	}
	c.kinds[kind] = true
	c.parts.add(Part{Where: Language, Type: kind, Name: name, Version: version, License: license, PURL: purl(kind, name, version, nil), Seen: Installed})
}

// scan reads what the files of a content name. An error ends it.
func scan(ctx context.Context, files iter.Seq2[Entry, error]) (*content, error) {
	c := &content{kinds: map[string]bool{}, jars: map[string]bool{}, over: map[string]bool{}}
	n := 0
	for e, err := range files {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return c, err
		}
		if n++; n > maxEntries {
			c.over[fmt.Sprintf("it has more than %d files, of which the rest was not read", maxEntries)] = true
			break
		}
		if err := c.read(&e); err != nil {
			return c, err
		}
	}
	return c, nil
}

var packageJSON = lazyregexp.New(`(^|/)node_modules/(@[^/]+/)?[^/]+/package\.json$`)

// read reads a file if its name says that it names a package.
func (c *content) read(e *Entry) error {
	dir, base := path.Split(e.Path)
	switch {
	case base == "METADATA" && strings.HasSuffix(dir, ".dist-info/"), base == "PKG-INFO" && strings.HasSuffix(dir, ".egg-info/"):
		return c.text(e, c.metadata)
	case base == "package.json" && packageJSON().MatchString(e.Path):
		return c.text(e, c.packageJSON)
	case path.Ext(base) == ".jar":
		c.kinds["maven"], c.jars[base] = true, true
	case e.Exec && e.Size >= minProgram && e.Size <= maxProgram:
		return c.program(e)
	}
	return nil
}

func (c *content) text(e *Entry, parse func([]byte)) error {
	if e.Size > maxText {
		c.over[fmt.Sprintf("a file that names a package has more than %d bytes, and was not read", maxText)] = true
		return nil
	}
	if c.texts++; c.texts > maxTexts {
		c.over[fmt.Sprintf("more than %d files name packages, of which the rest was not read", maxTexts)] = true
		return nil
	}
	f, err := e.Open()
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxText))
	if err != nil {
		return err
	}
	parse(text)
	return nil
}

// match joins what a content names with what was recorded. Recorded parts of an ecosystem of which the content names parts, but not this one, are Fetched.
func (c *content) match(recorded *list) []Part {
	type nameVersion struct{ kind, name, version string }
	installed := map[nameVersion]string{} // to the license
	for _, p := range c.parts.parts() {
		installed[nameVersion{p.Type, p.Name, p.Version}] = p.License
	}
	out := recorded.parts()
	for i := range out {
		p := &out[i]
		if p.Where != Language || !c.kinds[p.Type] {
			continue
		}
		key := nameVersion{p.Type, p.Name, p.Version}
		license, there := installed[key]
		for _, f := range p.Files {
			there = there || p.Type == "maven" && c.jars[f.Name]
		}
		p.Seen = Fetched
		if there {
			p.Seen = Installed
			if p.License == "" {
				p.License = license
			}
			delete(installed, key)
		}
	}
	for _, p := range c.parts.parts() { // what nobody recorded: vendored by another package, or of the project
		if _, left := installed[nameVersion{p.Type, p.Name, p.Version}]; left {
			out = append(out, p)
		}
	}
	return out
}
