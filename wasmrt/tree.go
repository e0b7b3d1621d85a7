package wasmrt

import (
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Kind says what an entry of a tree is.
type Kind uint8

const (
	KindDir Kind = iota + 1
	KindFile
	KindSymlink
)

// An Entry is one file, directory or symbolic link of a read-only tree.
type Entry struct {
	// Path is relative and slash-separated; "" or "." is the root.
	// Parents that have no entry of their own are made.
	Path string
	Kind Kind
	// Exec is the executable bit of a file.
	Exec bool
	// Size is the length of a file.
	Size int64
	// Target is what a symbolic link says.
	Target string
	// File is the host path of a file's bytes.
	File string
	// Data is the file's content when File is empty; Size is then ignored.
	Data []byte
}

// A Tree is a read-only tree of files: the metadata is in memory, the bytes are where the entries say.
// It is immutable and safe for use by many programs at once.
type Tree struct {
	root *treeNode
	// count is the number of entries below the root.
	count int
}

type treeNode struct {
	kind     Kind
	exec     bool
	size     int64
	target   string
	file     string
	data     []byte
	children map[string]*treeNode
	names    []string // sorted by bytes
}

// NewTree returns the tree of the given entries, in whatever order they come; one file alone has the path "".
// Two entries with one path, a name that is no clean relative path, or an entry below a file are errors.
func NewTree(entries iter.Seq[Entry]) (*Tree, error) {
	t := &Tree{root: &treeNode{kind: KindDir}}
	explicit := map[*treeNode]bool{}
	var single *treeNode
	for e := range entries {
		n := &treeNode{kind: e.Kind, exec: e.Exec, size: e.Size, target: e.Target, file: e.File, data: e.Data}
		if e.Kind == KindFile && e.File == "" {
			n.size = int64(len(e.Data))
		}
		if e.Kind < KindDir || e.Kind > KindSymlink {
			return nil, fmt.Errorf("tree entry %q: unknown kind %d", e.Path, e.Kind)
		}
		if e.Path == "" || e.Path == "." {
			if e.Kind == KindDir {
				continue
			}
			if e.Kind != KindFile || single != nil {
				return nil, fmt.Errorf("tree entry %q: the root is a directory or one file", e.Path)
			}
			single = n
			continue
		}
		if !fs.ValidPath(e.Path) || strings.ContainsRune(e.Path, 0) || !utf8.ValidString(e.Path) {
			return nil, fmt.Errorf("tree entry %q: not a clean relative path", e.Path)
		}
		dir, name := path.Split(e.Path)
		parent := t.root
		for _, c := range strings.Split(strings.TrimSuffix(dir, "/"), "/") {
			if c == "" {
				continue
			}
			next := parent.children[c]
			if next == nil {
				next = &treeNode{kind: KindDir}
				parent.add(c, next)
				t.count++
			}
			if next.kind != KindDir {
				return nil, fmt.Errorf("tree entry %q: %q is not a directory", e.Path, c)
			}
			parent = next
		}
		if old := parent.children[name]; old != nil {
			if old.kind != KindDir || n.kind != KindDir || explicit[old] {
				return nil, fmt.Errorf("tree entry %q: named twice", e.Path)
			}
			explicit[old] = true
			continue
		}
		if n.kind == KindDir {
			explicit[n] = true
		}
		parent.add(name, n)
		t.count++
	}
	t.root.sort()
	if single != nil {
		if t.count > 0 {
			return nil, fmt.Errorf("tree entry %q: a file with entries below it", "")
		}
		t.root, t.count = single, 1
	}
	return t, nil
}

// Union returns the merged view of several trees: directories are merged, and of a file or link that several
// trees have, the one of the first tree is shown.
// Conflicts lists the paths, sorted, at which trees differ in what they have.
func Union(trees ...*Tree) (t *Tree, conflicts []string) {
	t = &Tree{root: &treeNode{kind: KindDir}}
	for _, o := range trees {
		if o != nil {
			t.merge(t.root, o.root, "", &conflicts)
		}
	}
	t.root.sort()
	slices.Sort(conflicts)
	return t, slices.Compact(conflicts)
}

func (t *Tree) merge(dst, src *treeNode, at string, conflicts *[]string) {
	for _, name := range src.names {
		s, d := src.children[name], dst.children[name]
		p := path.Join(at, name)
		switch {
		case d == nil && s.kind == KindDir:
			d = &treeNode{kind: KindDir}
			dst.add(name, d)
			t.count++
			t.merge(d, s, p, conflicts)
		case d == nil:
			dst.add(name, s)
			t.count++
		case d.kind == KindDir && s.kind == KindDir:
			t.merge(d, s, p, conflicts)
		case !d.same(s):
			*conflicts = append(*conflicts, p)
		}
	}
}

// same reports whether two nodes hold the same thing as far as can be told without reading files.
func (n *treeNode) same(o *treeNode) bool {
	return n.kind == o.kind && n.exec == o.exec && n.target == o.target && n.file == o.file &&
		n.size == o.size && string(n.data) == string(o.data)
}

func (n *treeNode) add(name string, c *treeNode) {
	if n.children == nil {
		n.children = map[string]*treeNode{}
	}
	n.children[name] = c
	n.names = append(n.names, name)
}

func (n *treeNode) sort() {
	slices.Sort(n.names)
	for _, c := range n.children {
		if c.kind == KindDir {
			c.sort()
		}
	}
}

// Len returns the number of entries below the root.
func (t *Tree) Len() int { return t.count }

// lookup finds the node of a link-free path relative to the root.
func (t *Tree) lookup(rel string) (*treeNode, errno) {
	n := t.root
	for rel != "" && rel != "." {
		c, rest, _ := strings.Cut(rel, "/")
		if n.kind != KindDir {
			return nil, eNotdir
		}
		if n = n.children[c]; n == nil {
			return nil, eNoent
		}
		rel = rest
	}
	return n, eOK
}

func (n *treeNode) info() info {
	i := info{kind: fileKind(n.kind), exec: n.exec, size: n.size, nlink: 1}
	if n.kind == KindSymlink {
		i.size = int64(len(n.target))
	}
	return i
}

// Tree is a read-only backend.

func (t *Tree) lstat(rel string) (info, errno) {
	n, e := t.lookup(rel)
	if e != eOK {
		return info{}, e
	}
	return n.info(), eOK
}

func (t *Tree) readlink(rel string) (string, errno) {
	n, e := t.lookup(rel)
	if e != eOK {
		return "", e
	}
	if n.kind != KindSymlink {
		return "", eInval
	}
	return n.target, eOK
}

func (t *Tree) readdir(rel string) ([]dirent, errno) {
	n, e := t.lookup(rel)
	if e != eOK {
		return nil, e
	}
	if n.kind != KindDir {
		return nil, eNotdir
	}
	out := make([]dirent, len(n.names))
	for i, name := range n.names {
		out[i] = dirent{name: name, kind: fileKind(n.children[name].kind)}
	}
	return out, eOK
}

func (t *Tree) open(rel string, flag openFlag) (file, errno) {
	n, e := t.lookup(rel)
	if e != eOK {
		return nil, e
	}
	if n.kind != KindFile {
		return nil, eIsdir
	}
	if flag&(openWrite|openTrunc) != 0 {
		return nil, eRofs
	}
	if n.file == "" {
		return &memFile{info: n.info(), data: n.data}, eOK
	}
	f, err := os.Open(n.file)
	if err != nil {
		return nil, eIO
	}
	return &treeFile{f: f, info: n.info()}, eOK
}

func (t *Tree) create(string, openFlag) (file, errno) { return nil, eRofs }
func (t *Tree) mkdir(string) errno                    { return eRofs }
func (t *Tree) rmdir(string) errno                    { return eRofs }
func (t *Tree) unlink(string) errno                   { return eRofs }
func (t *Tree) rename(string, string) errno           { return eRofs }
func (t *Tree) link(string, string) errno             { return eRofs }
func (t *Tree) symlink(string, string) errno          { return eRofs }
func (t *Tree) chtimes(string, int64, int64) errno    { return eRofs }
func (t *Tree) chmod(string, bool) errno              { return eRofs }
func (t *Tree) handle(rel string) *dirRef             { return &dirRef{rel: rel} }
func (t *Tree) release(*dirRef)                       {}
func (t *Tree) at(r *dirRef) (rel string, gone bool)  { return r.rel, false }
