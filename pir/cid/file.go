package cid

import "github.com/zeebo/blake3"

// A Leaf is a raw block of a file, with its place in the file.
type Leaf struct {
	CID    CID
	Offset int64
	Size   int64
}

// A FileBuilder computes the CID of a file from its bytes as they are written.
// It keeps the list of leaves, not the bytes.
// One goroutine may use it at a time.
type FileBuilder struct {
	exec   bool
	size   int64
	leaves []Leaf
	hash   *blake3.Hasher
	filled int // bytes of the current leaf written to hash
}

// NewFile returns a FileBuilder for an empty file.
func NewFile(exec bool) *FileBuilder { return &FileBuilder{exec: exec} }

// Write adds bytes to the file. It never fails.
func (f *FileBuilder) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if f.filled == 0 && len(p) >= LeafSize {
			f.AddLeaf(blake3.Sum256(p[:LeafSize]), LeafSize)
			p = p[LeafSize:]
			continue
		}
		if f.hash == nil {
			f.hash = blake3.New()
		}
		part := p[:min(len(p), LeafSize-f.filled)]
		f.hash.Write(part) // never fails
		f.filled += len(part)
		p = p[len(part):]
		if f.filled == LeafSize {
			f.flush()
		}
	}
	return n, nil
}

// AddLeaf appends a leaf whose digest the caller knows.
// Every leaf but the last must have LeafSize bytes and none may be empty; otherwise AddLeaf panics.
func (f *FileBuilder) AddLeaf(digest [32]byte, size int64) {
	f.flush()
	if size <= 0 || size > LeafSize || f.size%LeafSize != 0 {
		panic("cid: leaf of a wrong size")
	}
	f.leaves = append(f.leaves, Leaf{CID: CID{codec: uint8(Raw), digest: digest}, Offset: f.size, Size: size})
	f.size += size
}

func (f *FileBuilder) flush() {
	if f.filled == 0 {
		return
	}
	var digest [32]byte
	f.hash.Sum(digest[:0])
	f.hash.Reset()
	n := f.filled
	f.filled = 0
	f.AddLeaf(digest, int64(n))
}

// Finish ends the file and returns its CID, its length, its nodes and its leaves.
// The last node is the root. A file without nodes is its only leaf.
// An empty file that is not executable is the empty leaf, which is returned too.
// Nodes and leaves that occur twice are returned twice.
func (f *FileBuilder) Finish() (c CID, size int64, nodes []Block, leaves []Leaf) {
	f.flush()
	c, nodes = fileNodes(f.leaves, f.exec)
	leaves = f.leaves
	if len(leaves) == 0 && !f.exec {
		leaves = []Leaf{{CID: c}}
	}
	return c, f.size, nodes, leaves
}

// FileNodes returns the root and the nodes over the given leaves, as Finish does.
// A store computes the executable variant of a file with it.
func FileNodes(leaves []Leaf, exec bool) (CID, []Block) {
	if len(leaves) == 1 && leaves[0].Size == 0 {
		leaves = nil
	}
	return fileNodes(leaves, exec)
}

func fileNodes(leaves []Leaf, exec bool) (CID, []Block) {
	if !exec && len(leaves) == 0 {
		return Sum(Raw, nil), nil
	}
	if !exec && len(leaves) == 1 {
		return leaves[0].CID, nil
	}
	var nodes []Block
	level := make([]part, len(leaves))
	for i, l := range leaves {
		level[i] = part{l.CID, l.Size, l.Size}
	}
	for {
		root := len(level) <= Width
		next := make([]part, 0, len(level)/Width+1)
		for first := true; first || len(level) > 0; first = false {
			n := min(len(level), Width)
			node := Node{Kind: KindFile, Exec: exec && root}
			var tsize int64
			for _, p := range level[:n] {
				node.Links = append(node.Links, Link{CID: p.cid, Tsize: p.tsize})
				node.BlockSizes = append(node.BlockSizes, p.size)
				node.Size += p.size
				tsize += p.tsize
			}
			data := node.Encode()
			c := Sum(DagPB, data)
			nodes = append(nodes, Block{c, data})
			next = append(next, part{c, node.Size, tsize + int64(len(data))})
			level = level[n:]
		}
		if root {
			return next[0].cid, nodes
		}
		level = next
	}
}

// A part is a leaf or a finished node that the node above will link to.
type part struct {
	cid         CID
	size, tsize int64
}
