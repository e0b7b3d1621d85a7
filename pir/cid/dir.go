package cid

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/twmb/murmur3"
)

// maxName is the greatest length of a name in a directory, in bytes.
const maxName = 255

// maxTarget is the greatest length of a symbolic link's target, in bytes.
const maxTarget = 4095

// ErrName is wrapped by errors about a name or target that no tree may hold.
var ErrName = errors.New("not a name that a tree can hold")

// A DirEntry is one name in a directory.
// Its field Tsize is the total size of the block that it names and of everything below: see the function Tsize.
type DirEntry struct {
	Name  string
	CID   CID
	Tsize int64
}

// CheckName returns an error that says why a directory cannot hold the name, or nil.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("empty name: %w", ErrName)
	case name == "." || name == "..":
		return fmt.Errorf("name %q: %w", name, ErrName)
	case len(name) > maxName:
		return fmt.Errorf("name %q: %w: it has %d bytes, more than %d", clip(name), ErrName, len(name), maxName)
	case strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("name %q: %w: it holds a slash or a zero byte", name, ErrName)
	case !utf8.ValidString(name):
		return fmt.Errorf("name %q: %w: it is not UTF-8, rename it", name, ErrName)
	}
	return nil
}

// CheckTarget returns an error that says why a symbolic link cannot have the target, or nil.
func CheckTarget(target string) error {
	switch {
	case target == "":
		return fmt.Errorf("empty link target: %w", ErrName)
	case len(target) > maxTarget:
		return fmt.Errorf("link target %q: %w: it has %d bytes, more than %d", clip(target), ErrName, len(target), maxTarget)
	case strings.Contains(target, "\x00"):
		return fmt.Errorf("link target %q: %w: it holds a zero byte", target, ErrName)
	case !utf8.ValidString(target):
		return fmt.Errorf("link target %q: %w: it is not UTF-8", target, ErrName)
	}
	return nil
}

// Dir returns the CID of a directory and its blocks, the root last.
// The entries may be in any order. Dir does not change them.
func Dir(entries []DirEntry) (CID, []Block, error) {
	links := make([]Link, len(entries))
	size := 4 // the UnixFS message of a directory
	for i, e := range entries {
		if err := CheckName(e.Name); err != nil {
			return CID{}, nil, err
		}
		if e.CID.IsZero() || e.Tsize < 0 {
			return CID{}, nil, fmt.Errorf("directory entry %q: no content id or a negative size", e.Name)
		}
		links[i] = Link(e)
		size += linkLen(e.Name, e.Tsize)
	}
	slices.SortFunc(links, func(a, b Link) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(links); i++ {
		if links[i].Name == links[i-1].Name {
			return CID{}, nil, fmt.Errorf("directory entry %q: it occurs twice", links[i].Name)
		}
	}
	if size > dirSize {
		return shards(links)
	}
	b := (&Node{Kind: KindDir, Links: links}).Encode()
	c := Sum(DagPB, b)
	return c, []Block{{c, b}}, nil
}

// Symlink returns the CID and the block of a symbolic link.
func Symlink(target string) (CID, Block) {
	b := (&Node{Kind: KindSymlink, Target: target}).Encode()
	c := Sum(DagPB, b)
	return c, Block{c, b}
}

// A hashed is a link and the hash bits that choose its slot in the shard of each level.
type hashed struct {
	Link
	hash uint64
}

func shards(links []Link) (CID, []Block, error) {
	all := make([]hashed, len(links))
	for i, l := range links {
		all[i] = hashed{l, nameHash(l.Name)}
	}
	slices.SortFunc(all, func(a, b hashed) int { return cmp.Compare(a.hash, b.hash) })
	var blocks []Block
	root, err := shard(all, 0, &blocks)
	if err != nil {
		return CID{}, nil, err
	}
	return root.CID, blocks, nil
}

// shard encodes the shard of the given links, whose hashes share their first depth bytes.
func shard(links []hashed, depth int, blocks *[]Block) (Link, error) {
	if depth == 8 {
		return Link{}, fmt.Errorf("directory entries %q and %q: %w: their hashes are equal, rename one", links[0].Name, links[1].Name, ErrName)
	}
	n := Node{Kind: KindShard}
	var tsize int64
	for len(links) > 0 {
		slot := slotAt(links[0].hash, depth)
		end := 1
		for end < len(links) && slotAt(links[end].hash, depth) == slot {
			end++
		}
		l := links[0].Link
		if end > 1 {
			var err error
			if l, err = shard(links[:end], depth+1, blocks); err != nil {
				return Link{}, err
			}
		}
		l.Name = slotName(slot) + l.Name
		n.Links = append(n.Links, l)
		tsize += l.Tsize
		links = links[end:]
	}
	b := n.Encode()
	c := Sum(DagPB, b)
	*blocks = append(*blocks, Block{c, b})
	return Link{CID: c, Tsize: tsize + int64(len(b))}, nil
}

// nameHash returns the first half of MurmurHash3 x64 128, as UnixFS requires.
func nameHash(name string) uint64 {
	h, _ := murmur3.Sum128([]byte(name))
	return h
}

func slotAt(hash uint64, depth int) int {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], hash)
	return int(b[depth])
}

const hexDigits = "0123456789ABCDEF"

func slotName(slot int) string {
	return string([]byte{hexDigits[slot>>4], hexDigits[slot&15]})
}

// slotOf parses the slot from the first two characters of the name of a shard's link.
func slotOf(name string) (int, bool) {
	if len(name) < 2 {
		return 0, false
	}
	hi, lo := strings.IndexByte(hexDigits, name[0]), strings.IndexByte(hexDigits, name[1])
	if hi < 0 || lo < 0 {
		return 0, false
	}
	return hi<<4 | lo, true
}

// ShardPath returns the link prefix in each shard on the path from the root to the name.
// A reader follows the link that consists of the prefix alone, until it finds the link that consists of prefix and name.
func ShardPath(name string) [8]string {
	h := nameHash(name)
	var p [8]string
	for i := range p {
		p[i] = slotName(slotAt(h, i))
	}
	return p
}
