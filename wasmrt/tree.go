package wasmrt

import (
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/sync/singleflight"
)

// A Kind is the type of an entry of a tree.
type Kind uint8

const (
	KindDir Kind = iota + 1
	KindFile
	KindSymlink
)

// An Entry is one file, directory or symbolic link of a read-only tree.
type Entry struct {
	// Path is relative and slash-separated; "" or "." is the root.
	// Missing parent directories are added.
	Path string `json:"path,omitempty"`
	Kind Kind   `json:"kind"`
	// Exec is the executable bit of a file.
	Exec bool `json:"exec,omitempty"`
	// Size is the length of a file.
	Size int64 `json:"size,omitempty"`
	// Target is the target of a symbolic link.
	Target string `json:"target,omitempty"`
	// File is the host path of the file with the content.
	File string `json:"file,omitempty"`
	// Data is the file's content when File and Key are empty; Size is then ignored.
	Data []byte `json:"data,omitempty"`
	// Key identifies a directory or a file to the TreeReader. NewTree ignores it.
	Key string `json:"key,omitempty"`
}

// A Tree is a read-only tree of files. It keeps the metadata in memory; the content is where the entries say.
// What it shows does not change, and many programs may use it at once.
type Tree struct {
	root   *treeNode
	reader TreeReader         // nil if everything is in memory
	reads  singleflight.Group // directories and files being read, by their keys
	failed atomic.Pointer[error]
}

type treeNode struct {
	kind   Kind
	exec   bool
	size   int64
	target string
	key    string
	data   []byte                 // content of a file without key and path
	file   atomic.Pointer[string] // host path of a file's content; nil if not known yet
	folder atomic.Pointer[folder] // content of a directory; nil if not read yet
}

// A folder is the content of a directory.
type folder struct {
	children map[string]*treeNode
	names    []string // sorted by bytes
}

// node returns the node of an entry.
func (e *Entry) node() (*treeNode, error) {
	if e.Kind < KindDir || e.Kind > KindSymlink {
		return nil, fmt.Errorf("tree entry %q: unknown kind %d", e.Path, e.Kind)
	}
	if e.Size < 0 {
		return nil, fmt.Errorf("tree entry %q: its size is %d", e.Path, e.Size)
	}
	n := &treeNode{kind: e.Kind, exec: e.Exec, size: e.Size, target: e.Target, key: e.Key}
	switch {
	case e.Kind == KindDir && e.Key == "":
		n.folder.Store(&folder{})
	case e.Kind == KindFile && e.File != "":
		file := e.File // a pointer into the entry would keep the whole entry in memory
		n.file.Store(&file)
	case e.Kind == KindFile && e.Key == "":
		n.data, n.size = e.Data, int64(len(e.Data))
	}
	return n, nil
}

// validPath reports whether a path is clean and relative, and programs can see it.
func validPath(p string) bool {
	return fs.ValidPath(p) && !strings.ContainsRune(p, 0) && utf8.ValidString(p)
}

// NewTree returns the tree of the given entries, in any order. If the tree is a single file, its path is "".
// It fails for two entries with one path, a path that is not clean and relative, and an entry below a file.
func NewTree(entries iter.Seq[Entry]) (*Tree, error) {
	dir := Entry{Kind: KindDir}
	root, err := dir.node()
	if err != nil {
		return nil, err
	}
	explicit := map[*treeNode]bool{}
	var single *treeNode
	for e := range entries {
		e.Key = ""
		n, err := e.node()
		if err != nil {
			return nil, err
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
		if !validPath(e.Path) {
			return nil, fmt.Errorf("tree entry %q: not a clean relative path", e.Path)
		}
		dir, name := path.Split(e.Path)
		parent, err := root.below(strings.TrimSuffix(dir, "/"))
		if err != nil {
			return nil, fmt.Errorf("tree entry %q: %w", e.Path, err)
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
	}
	root.sort()
	if single != nil {
		if len(root.folder.Load().names) > 0 {
			return nil, fmt.Errorf("tree entry %q: a file with entries below it", "")
		}
		root = single
	}
	return &Tree{root: root}, nil
}

// below returns the folder at a path below a directory. It creates missing directories on the way.
func (n *treeNode) below(dir string) (*folder, error) {
	f := n.folder.Load()
	for _, c := range strings.Split(dir, "/") {
		if c == "" {
			continue
		}
		next := f.children[c]
		if next == nil {
			next = &treeNode{kind: KindDir}
			next.folder.Store(&folder{})
			f.add(c, next)
		}
		if next.kind != KindDir {
			return nil, fmt.Errorf("%q is not a directory", c)
		}
		f = next.folder.Load()
	}
	return f, nil
}

func (f *folder) add(name string, c *treeNode) {
	if f.children == nil {
		f.children = map[string]*treeNode{}
	}
	f.children[name] = c
	f.names = append(f.names, name)
}

func (n *treeNode) sort() {
	f := n.folder.Load()
	slices.Sort(f.names)
	for _, c := range f.children {
		if c.kind == KindDir {
			c.sort()
		}
	}
}

// lookup finds the node at a path relative to the root. It follows no links.
func (t *Tree) lookup(rel string) (*treeNode, errno) {
	n := t.root
	for rel != "" && rel != "." {
		c, rest, _ := strings.Cut(rel, "/")
		if n.kind != KindDir {
			return nil, eNotdir
		}
		f, e := t.folder(n)
		if e != eOK {
			return nil, e
		}
		if n = f.children[c]; n == nil {
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
	f, e := t.folder(n)
	if e != eOK {
		return nil, e
	}
	out := make([]dirent, len(f.names))
	for i, name := range f.names {
		out[i] = dirent{name: name, kind: fileKind(f.children[name].kind)}
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
	if n.key == "" && n.file.Load() == nil {
		return &memFile{info: n.info(), data: n.data}, eOK
	}
	host, e := t.fileOf(rel, n)
	if e != eOK {
		return nil, e
	}
	f, err := os.Open(host)
	if err != nil {
		return nil, t.fail(err)
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
