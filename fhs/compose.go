package fhs

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/protocol"
)

// MaxSmall bounds a file that Compose reads, such as a maintainer script.
const MaxSmall = 1 << 20

// A ReadFunc returns the bytes of a file, which has at most MaxSmall.
type ReadFunc func(ctx context.Context, e *Entry) ([]byte, error)

// Reads reports whether Compose reads a file of a package, for most of the files that it reads. A caller can read those of several packages at once.
func Reads(e *Entry) bool {
	return e.Kind == File && e.Size <= MaxSmall &&
		(e.Path == control+"/control" || e.Path == control+"/postinst" || strings.HasPrefix(e.Path, certificatesFrom+"/") && strings.HasSuffix(e.Path, ".crt"))
}

// A deb is a Debian package of the environment.
type deb struct {
	pkg     *Package
	name    string            // in its control file
	control map[string]*Entry // the files of its control archive, by name
}

// A composition is a tree that is being composed.
type composition struct {
	ctx context.Context
	*merger
	read  ReadFunc
	debs  []*deb
	notes []string

	certs []certificate // once trusted has been called
}

// Compose makes the tree of the layout fhs-1. The error about two packages that differ at a path names both.
func Compose(ctx context.Context, packages []Package, read ReadFunc) (*Tree, error) {
	c := &composition{ctx: ctx, merger: newMerger(packages), read: read}
	for _, p := range inOrder(packages) {
		if err := c.addPackage(&p); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(c.debs, func(a, b *deb) int { return strings.Compare(a.pkg.Name, b.pkg.Name) })
	c.leaveOut()
	for _, name := range folded {
		if c.places["usr/"+name].Entry != nil {
			c.derive(name, Entry{Kind: Link, Target: "usr/" + name})
		}
	}
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.run(c); err != nil {
			return nil, err
		}
	}
	t := c.tree()
	t.Notes = c.notes
	return t, nil
}

// addPackage adds the files of a package, and keeps those of its control archive apart.
func (c *composition) addPackage(p *Package) error {
	m := newMover(p.Entries)
	if err := c.add(p, m.move); err != nil {
		return err
	}
	if m.err != nil {
		return protocol.Errorf(protocol.Invalid, "environment: %s: %w", p.Name, m.err).WithHint("leave it out or rename it: the field merge")
	}
	if !m.debian {
		return nil
	}
	d := &deb{pkg: p, control: map[string]*Entry{}}
	for i := range p.Entries {
		e := &p.Entries[i]
		name, below := strings.CutPrefix(e.Path, control+"/")
		if _, kept := p.Merge.Path(e.Path); below && kept && e.Kind == File && !strings.Contains(name, "/") {
			d.control[name] = e
		}
	}
	text, err := c.controlFile(d, "control")
	if err != nil {
		return err
	}
	d.name = packageName(text)
	c.debs = append(c.debs, d)
	return nil
}

// controlFile reads a file of a control archive. It is empty if there is none.
func (c *composition) controlFile(d *deb, name string) ([]byte, error) {
	e, ok := d.control[name]
	if !ok {
		return nil, nil
	}
	return c.small(d.pkg.Name, e)
}

// small reads a file that has at most MaxSmall bytes; from is its package.
func (c *composition) small(from string, e *Entry) ([]byte, error) {
	if e.Size > MaxSmall {
		return nil, protocol.Errorf(protocol.Invalid, "environment: %s: %s has %d bytes, and the layout reads at most %d", from, e.Path, e.Size, MaxSmall).
			WithHint("leave it out: the field merge")
	}
	if e.CID.IsZero() || e.Data != nil {
		return e.Data, nil
	}
	return c.read(c.ctx, e)
}

// text reads a file of the tree. It reports false if there is no file at the path.
func (c *composition) text(at string) ([]byte, bool, error) {
	p := c.places[at]
	if p.Entry == nil || p.Kind != File {
		return nil, false, nil
	}
	from := "derived data"
	if p.from != nil {
		from = p.from.Name
	}
	b, err := c.small(from, p.Entry)
	return b, err == nil, err
}

// packageField is the field Package of a control file (deb-control(5)).
var packageField = lazyregexp.New(`(?mi)^Package:[ \t]*([a-z0-9][a-z0-9+.-]*)[ \t]*$`)

func packageName(text []byte) string {
	if m := packageField().FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return ""
}

// has reports whether a Debian package is in the environment, by its name in the control file.
func (c *composition) has(name string) bool {
	return slices.ContainsFunc(c.debs, func(d *deb) bool { return d.name == name })
}

// derive adds an entry unless a package has something at its path, or something that is no folder above it. It reports whether it did.
func (c *composition) derive(at string, e Entry) bool {
	if c.places[at].Entry != nil {
		return false
	}
	var above []string
	for dir := path.Dir(at); dir != "."; dir = path.Dir(dir) {
		if p := c.places[dir]; p.Entry != nil {
			if p.Kind != Dir {
				return false
			}
			break
		}
		above = append(above, dir)
	}
	for _, dir := range above {
		c.places[dir] = place{Entry: &Entry{Path: dir, Kind: Dir}}
	}
	e.Path = at
	if e.Data != nil || e.Kind == File && e.CID.IsZero() {
		e.Size = int64(len(e.Data))
	}
	c.places[at] = place{Entry: &e}
	return true
}

// link adds a link to another path of the tree, as derive does. The target is relative, see retarget.
func (c *composition) link(at, to string) bool {
	return c.derive(at, Entry{Kind: Link, Target: relativeTo(path.Dir(at), to)})
}

// copyOf adds the content of a file of the tree at another path, as derive does.
func (c *composition) copyOf(from, to string) {
	if p := c.places[from]; p.Entry != nil && p.Kind == File {
		c.derive(to, *p.Entry)
	}
}

// find follows the links of the tree from a path. It reports false if the path leads to nothing.
func (c *composition) find(at string) (string, bool) {
	for range maxLinks {
		next, linked := c.follow(at)
		if !linked {
			return next, next != ""
		}
		at = next
	}
	return "", false
}

// follow replaces the first link on a path by its target, and reports true. Without a link it returns the path, or "" if it leads to nothing.
func (c *composition) follow(at string) (next string, linked bool) {
	for end := 0; end < len(at); end++ {
		rest := strings.IndexByte(at[end:], '/')
		if end += rest; rest < 0 {
			end = len(at)
		}
		p := c.places[at[:end]]
		if p.Entry == nil {
			return "", false
		}
		if p.Kind == Link {
			if path.IsAbs(p.Target) {
				return strings.TrimPrefix(path.Join(p.Target, at[end:]), "/"), true
			}
			return strings.TrimPrefix(path.Join("/", path.Dir(at[:end]), p.Target, at[end:]), "/"), true
		}
	}
	return at, false
}

// maxLinks bounds how many links lead to a path, as ELOOP does (path_resolution(7)).
const maxLinks = 40

// externallyManaged marks an interpreter whose packages pip must not change (PEP 668). An environment is nobody else's.
var externallyManaged = lazyregexp.New(`^usr/lib/python3[^/]*/EXTERNALLY-MANAGED$`)

// leaveOut removes what a tree does not need.
func (c *composition) leaveOut() {
	used := map[string]bool{}
	for at, p := range c.places {
		if p.Kind == Dir {
			continue
		}
		head, _ := first(at)
		used[head] = true
		if strings.HasSuffix(at, "/EXTERNALLY-MANAGED") && externallyManaged().MatchString(at) {
			delete(c.places, at)
		}
	}
	for at := range c.places {
		if head, _ := first(at); slices.Contains(outside, head) && !used[head] {
			delete(c.places, at)
		}
	}
}
