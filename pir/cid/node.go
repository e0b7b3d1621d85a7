package cid

import (
	"encoding/binary"
	"math/bits"
)

// Sizes that are part of the format: changing one changes CIDs.
const (
	// LeafSize is the length of every leaf of a file but the last.
	LeafSize = 1 << 20
	// Width is the greatest number of links in a file's node.
	Width = 1024
	// dirSize is the greatest encoding of a directory in one node.
	dirSize = 1 << 20
	// fanout is the greatest number of links in a shard.
	fanout = 256
	// execMode is the mode in the root of an executable.
	execMode = 0o555
)

// hashMurmur3 is the multiformats code of the hash that chooses the slots of names in shards.
const hashMurmur3 = 0x22

// A Kind is the type of a node. The values are those of UnixFS.
type Kind uint8

// The kinds of nodes that trees use.
const (
	KindDir     Kind = 1
	KindFile    Kind = 2
	KindSymlink Kind = 4
	KindShard   Kind = 5
)

// String returns the name of the kind in English.
func (k Kind) String() string {
	switch k {
	case KindDir:
		return "directory"
	case KindFile:
		return "file"
	case KindSymlink:
		return "symlink"
	case KindShard:
		return "shard"
	}
	return "unknown"
}

// A Link points from a node to a block.
// Tsize is the size of that block and of everything below it, counting each occurrence.
// In a shard the name starts with two hexadecimal digits; a link to another shard has only those.
type Link struct {
	Name  string
	CID   CID
	Tsize int64
}

// A Node is a decoded dag-pb block.
type Node struct {
	Kind  Kind
	Links []Link
	// Size is the length of a file; BlockSizes are the lengths of its parts, one for each link.
	Size       int64
	BlockSizes []int64
	// Exec is set in the root of an executable.
	Exec bool
	// Target is the path that a symbolic link points to.
	Target string
}

// Encode returns the only encoding of n.
// It does not check n; Decode refuses the encoding of a node that breaks the rules.
func (n *Node) Encode() []byte {
	data := n.encodeData()
	size := 1 + uvarintLen(uint64(len(data))) + len(data)
	for _, l := range n.Links {
		size += linkLen(l.Name, l.Tsize)
	}
	b := make([]byte, 0, size)
	for _, l := range n.Links {
		b = append(b, 0x12)
		b = binary.AppendUvarint(b, uint64(linkBodyLen(l.Name, l.Tsize)))
		b = append(b, 0x0a, Size)
		b = l.CID.append(b)
		b = append(b, 0x12)
		b = binary.AppendUvarint(b, uint64(len(l.Name)))
		b = append(b, l.Name...)
		b = append(b, 0x18)
		b = binary.AppendUvarint(b, uint64(l.Tsize))
	}
	b = append(b, 0x0a)
	b = binary.AppendUvarint(b, uint64(len(data)))
	return append(b, data...)
}

// encodeData returns the UnixFS message inside the node, its fields in the order of their numbers.
func (n *Node) encodeData() []byte {
	b := []byte{0x08, byte(n.Kind)}
	switch n.Kind {
	case KindFile:
		b = append(b, 0x18)
		b = binary.AppendUvarint(b, uint64(n.Size))
		for _, s := range n.BlockSizes {
			b = append(b, 0x20)
			b = binary.AppendUvarint(b, uint64(s))
		}
		if n.Exec {
			b = append(b, 0x38)
			b = binary.AppendUvarint(b, execMode)
		}
	case KindSymlink:
		b = append(b, 0x12)
		b = binary.AppendUvarint(b, uint64(len(n.Target)))
		b = append(b, n.Target...)
	case KindShard:
		field := n.bitfield()
		b = append(b, 0x12)
		b = binary.AppendUvarint(b, uint64(len(field)))
		b = append(b, field...)
		b = append(b, 0x28, hashMurmur3)
		b = append(b, 0x30)
		b = binary.AppendUvarint(b, fanout)
	}
	return b
}

// bitfield returns the used slots of a shard, as a big-endian number without leading zero bytes.
func (n *Node) bitfield() []byte {
	var f [fanout / 8]byte
	for _, l := range n.Links {
		if slot, ok := slotOf(l.Name); ok {
			f[len(f)-1-slot/8] |= 1 << (slot % 8)
		}
	}
	for i := range f {
		if f[i] != 0 {
			return f[i:]
		}
	}
	return nil
}

func linkBodyLen(name string, tsize int64) int {
	return 2 + Size + 1 + uvarintLen(uint64(len(name))) + len(name) + 1 + uvarintLen(uint64(tsize))
}

func linkLen(name string, tsize int64) int {
	n := linkBodyLen(name, tsize)
	return 1 + uvarintLen(uint64(n)) + n
}

func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// FileTsize returns the total size of a file that consists of size bytes. It follows from the size alone, and from the execute bit.
func FileTsize(size int64, exec bool) int64 {
	if size <= LeafSize && !exec {
		return size
	}
	leaves := make([]Leaf, 0, size/LeafSize+1)
	for at := int64(0); at < size; at += LeafSize {
		leaves = append(leaves, Leaf{Offset: at, Size: min(LeafSize, size-at)})
	}
	_, nodes := FileNodes(leaves, exec)
	return Tsize(size, nodes)
}

// Tsize returns the total size of a file or link that consists of size raw bytes and the given nodes.
func Tsize(size int64, nodes []Block) int64 {
	for _, b := range nodes {
		size += int64(len(b.Data))
	}
	return size
}
