package wasmrt

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// A TreeReader is the set of operations that a lazy tree needs. A lazy tree reads a directory when a program first looks
// into it.
// Several goroutines call it at once. Keys are those of entries.
type TreeReader interface {
	// Folder returns the entries of a directory; the path of each entry is its name.
	Folder(key string) ([]Entry, error)
	// Files returns the host paths of the contents of files, one for each key.
	// A program is about to open the first file. The others are its neighbours, and may have the path "": the tree then
	// requests their paths when a program opens them.
	Files(keys []string) ([]string, error)
}

const (
	// maxNeighbours is how many neighbours the tree requests together with a file, since most programs that open one file open more.
	maxNeighbours = 31
	// smallFile is the maximum size of a neighbour, since the reader may have to read it.
	smallFile = 64 << 10
)

// ReadTree returns the tree of a root, a directory or one file. r reads a directory when a program first looks into it.
// One goroutine at a time reads a directory, and the tree keeps the result. Entries are checked as in NewTree.
// A program sees an error of r as an I/O error. When the next program looks, the tree calls r again.
func ReadTree(root Entry, r TreeReader) (*Tree, error) {
	n, err := root.node()
	if err != nil {
		return nil, err
	}
	if root.Path != "" || root.Kind == KindSymlink {
		return nil, fmt.Errorf("tree entry %q: the root is a directory or one file", root.Path)
	}
	return &Tree{root: n, reader: r}, nil
}

// folder returns the contents of a directory, reading it if needed.
func (t *Tree) folder(n *treeNode) (*folder, errno) {
	if f := n.folder.Load(); f != nil {
		return f, eOK
	}
	f, err, _ := t.reads.Do("folder "+n.key, func() (any, error) {
		if f := n.folder.Load(); f != nil { // another goroutine has read it since the first check
			return f, nil
		}
		f, err := t.readFolder(n.key)
		if err == nil {
			n.folder.Store(f)
		}
		return f, err
	})
	if err != nil {
		return nil, t.fail(err)
	}
	n.folder.Store(f.(*folder)) // the result may come from another directory with the same key
	return f.(*folder), eOK
}

func (t *Tree) readFolder(key string) (*folder, error) {
	entries, err := t.reader.Folder(key)
	if err != nil {
		return nil, fmt.Errorf("read folder: %w", err)
	}
	f := &folder{children: make(map[string]*treeNode, len(entries)), names: make([]string, 0, len(entries))}
	for i := range entries {
		e := &entries[i]
		if e.Path == "." || strings.Contains(e.Path, "/") || !validPath(e.Path) {
			return nil, fmt.Errorf("read folder: entry %q: not a name", e.Path)
		}
		if f.children[e.Path] != nil {
			return nil, fmt.Errorf("read folder: entry %q: named twice", e.Path)
		}
		n, err := e.node()
		if err != nil {
			return nil, fmt.Errorf("read folder: %w", err)
		}
		f.add(e.Path, n)
	}
	slices.Sort(f.names)
	return f, nil
}

// fileOf returns the host path of a file's content, requesting it from the reader if needed.
func (t *Tree) fileOf(rel string, n *treeNode) (string, errno) {
	if p := n.file.Load(); p != nil {
		return *p, eOK
	}
	p, err, _ := t.reads.Do("file "+n.key, func() (any, error) {
		if p := n.file.Load(); p != nil {
			return *p, nil
		}
		files := append([]*treeNode{n}, t.neighbours(rel)...)
		keys := make([]string, len(files))
		for i, f := range files {
			keys[i] = f.key
		}
		paths, err := t.reader.Files(keys)
		if err == nil && (len(paths) != len(keys) || paths[0] == "") {
			err = errors.New("its path is not known")
		}
		if err != nil {
			return "", fmt.Errorf("find file %q: %w", rel, err)
		}
		for i := range paths {
			if paths[i] != "" {
				files[i].file.Store(&paths[i])
			}
		}
		return paths[0], nil
	})
	if err != nil {
		return "", t.fail(err)
	}
	host := p.(string)
	n.file.CompareAndSwap(nil, &host)
	return host, eOK
}

// neighbours returns small files in the same directory whose paths are not known yet, beginning with those after the file.
func (t *Tree) neighbours(rel string) []*treeNode {
	in, e := t.lookup(path.Dir(rel))
	if e != eOK || in.kind != KindDir { // the file itself is the root
		return nil
	}
	f, e := t.folder(in)
	if e != eOK {
		return nil
	}
	at, _ := slices.BinarySearch(f.names, path.Base(rel))
	var out []*treeNode
	for i := 1; i < min(len(f.names), 8*maxNeighbours) && len(out) < maxNeighbours; i++ {
		n := f.children[f.names[(at+i)%len(f.names)]]
		if n.kind == KindFile && n.key != "" && n.size <= smallFile && n.file.Load() == nil {
			out = append(out, n)
		}
	}
	return out
}

// fail records the cause of an I/O error that a program sees.
func (t *Tree) fail(err error) errno {
	t.failed.CompareAndSwap(nil, &err)
	return eIO
}

// Failed returns the first error that programs saw as an I/O error of this tree, or nil.
// If it is not nil, the results of these programs say nothing about the tree's content.
func (t *Tree) Failed() error {
	if err := t.failed.Load(); err != nil {
		return *err
	}
	return nil
}
