package fsmount

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir/cid"
)

// A tree is the metadata of one CID, compact. The place of an entry is its position in the walk of the tree, so it never changes.
// A tree is not changed once it is loaded.
type tree struct {
	entries []entry
	kids    []uint32 // the entries of each directory, one directory after the other, in the order of their names
	names   []byte   // names, and targets of links
}

// An entry takes 56 bytes.
type entry struct {
	size   int64 // of a file, or of the target of a link; of a directory its entries in kids: first<<32 | number
	digest [32]byte
	name   uint32 // where the name begins in names; the target of a link follows the name
	parent uint32
	subs   uint32 // directories in this directory
	length uint8  // of the name
	kind   cas.Kind
	flags  uint8
}

const (
	flagExec = 1 << iota
	flagRaw  // the codec of the file's CID is raw
)

// maxEntries bounds a tree: the place of an entry has 32 bits, and so have positions in names.
const maxEntries = math.MaxUint32 / 512

// loadTree reads the metadata of a tree.
func loadTree(ctx context.Context, s Store, root cid.CID) (*tree, error) {
	t := &tree{}
	type open struct {
		path string
		at   uint32
	}
	var dirs []open // the directory that is being listed, and those above it
	var count []uint32
	for e, err := range s.Entries(ctx, root) {
		if err != nil {
			return nil, err
		}
		if len(t.entries) >= maxEntries || len(t.names) > math.MaxUint32-8192 {
			return nil, fmt.Errorf("tree %s has more than %d entries, or longer names than a mount can show", root, maxEntries)
		}
		at := uint32(len(t.entries))
		n := entry{kind: e.Kind, size: e.Size, name: uint32(len(t.names)), digest: e.CID.Digest()}
		if at > 0 {
			for len(dirs) > 1 && !strings.HasPrefix(e.Path, dirs[len(dirs)-1].path+"/") {
				dirs = dirs[:len(dirs)-1]
			}
			if len(dirs) == 0 {
				return nil, errors.New("the root of a tree with entries is no directory")
			}
			n.parent = dirs[len(dirs)-1].at
			name := e.Path[strings.LastIndexByte(e.Path, '/')+1:]
			if len(name) > math.MaxUint8 {
				return nil, fmt.Errorf("name %.40q… has %d bytes; the most is 255", name, len(name))
			}
			n.length = uint8(len(name))
			t.names = append(t.names, name...)
			count[n.parent]++
		}
		switch e.Kind {
		case cas.Dir:
			dirs = append(dirs, open{e.Path, at})
			if at > 0 {
				t.entries[n.parent].subs++
			}
		case cas.Symlink:
			n.size = int64(len(e.Target))
			t.names = append(t.names, e.Target...)
		case cas.File:
			if e.Exec {
				n.flags |= flagExec
			}
			if e.CID.Codec() == cid.Raw {
				n.flags |= flagRaw
			}
		}
		t.entries = append(t.entries, n)
		count = append(count, 0)
	}
	if len(t.entries) == 0 {
		return nil, cas.ErrNotFound
	}
	t.link(count)
	return t, nil
}

// link fills kids. count has the number of entries of each directory.
func (t *tree) link(count []uint32) {
	var first uint32
	next := make([]uint32, len(t.entries))
	for i := range t.entries {
		if e := &t.entries[i]; e.kind == cas.Dir {
			e.size = int64(first)<<32 | int64(count[i])
			next[i] = first
			first += count[i]
		}
	}
	t.kids = make([]uint32, first)
	for i := 1; i < len(t.entries); i++ { // the walk has the names of a directory in order
		p := t.entries[i].parent
		t.kids[next[p]] = uint32(i)
		next[p]++
	}
}

// children returns the entries of a directory, in the order of their names.
func (t *tree) children(at uint32) []uint32 {
	e := &t.entries[at]
	if e.kind != cas.Dir {
		return nil
	}
	first := uint32(e.size >> 32)
	return t.kids[first : first+uint32(e.size)]
}

// path returns the path of an entry below the root, with a slash before each name; "" for the root.
func (t *tree) path(at uint32) string {
	if at == 0 {
		return ""
	}
	return t.path(t.entries[at].parent) + "/" + string(t.name(at))
}

// name returns the name of an entry; "" for the root.
func (t *tree) name(at uint32) []byte {
	e := &t.entries[at]
	return t.names[e.name : e.name+uint32(e.length)]
}

// target returns the target of a symbolic link.
func (t *tree) target(at uint32) []byte {
	e := &t.entries[at]
	begin := e.name + uint32(e.length)
	return t.names[begin : begin+uint32(e.size)]
}

// find returns the place of a name in a directory; 0, which is no directory's entry, if there is none.
func (t *tree) find(dir uint32, name string) uint32 {
	kids := t.children(dir)
	i := sort.Search(len(kids), func(i int) bool { return string(t.name(kids[i])) >= name })
	if i < len(kids) && string(t.name(kids[i])) == name {
		return kids[i]
	}
	return 0
}

// content returns the CID of a file.
func (t *tree) content(at uint32) (cid.CID, error) {
	e := &t.entries[at]
	codec := cid.DagPB
	if e.flags&flagRaw != 0 {
		codec = cid.Raw
	}
	return cid.New(codec, e.digest)
}

// bytes returns the memory that the tree takes.
func (t *tree) bytes() int64 {
	return int64(cap(t.entries))*56 + int64(cap(t.kids))*4 + int64(cap(t.names))
}
