package cid

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// MaxNode is the greatest encoding of a node that is read:
// a directory of dirSize, or a shard with the longest names; IPFS clients refuse blocks over 2 MiB as well.
const MaxNode = 2 << 20

// ErrNode is wrapped by errors about bytes that are no node.
var ErrNode = errors.New("not a node of a file or tree")

// Decode reads a node of a file or tree.
// It accepts exactly the bytes that Encode writes for a valid node,
// so the bytes of a node and the node itself determine each other.
// Its time and memory are proportional to len(b).
func Decode(b []byte) (*Node, error) {
	if len(b) > MaxNode {
		return nil, fmt.Errorf("decode node: %w: it has %d bytes, more than %d", ErrNode, len(b), MaxNode)
	}
	n, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("decode node: %w: %v", ErrNode, err)
	}
	if err := n.check(); err != nil {
		return nil, fmt.Errorf("decode %s node: %w: %w", n.Kind, ErrNode, err)
	}
	if !bytes.Equal(n.Encode(), b) {
		return nil, fmt.Errorf("decode %s node: %w: another encoding than the canonical one", n.Kind, ErrNode)
	}
	return n, nil
}

var errShort = errors.New("it ends too early")

// A reader consumes protobuf fields from the front of b.
type reader struct{ b []byte }

func (r *reader) uvarint() (uint64, error) {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		return 0, errShort
	}
	r.b = r.b[n:]
	return v, nil
}

// size reads a number that must fit an int64.
func (r *reader) size() (int64, error) {
	v, err := r.uvarint()
	if err == nil && v > math.MaxInt64 {
		return 0, errors.New("a size is too large")
	}
	return int64(v), err
}

func (r *reader) bytes() ([]byte, error) {
	n, err := r.uvarint()
	if err != nil {
		return nil, err
	}
	if n > uint64(len(r.b)) {
		return nil, errShort
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v, nil
}

// expect reads a tag, which names a field and its wire type.
func (r *reader) expect(tag byte) error {
	if len(r.b) == 0 {
		return errShort
	}
	if r.b[0] != tag {
		return fmt.Errorf("field tag 0x%02x where 0x%02x is due", r.b[0], tag)
	}
	r.b = r.b[1:]
	return nil
}

func decode(b []byte) (*Node, error) {
	n := &Node{}
	r := reader{b}
	for len(r.b) > 0 && r.b[0] == 0x12 {
		r.b = r.b[1:]
		body, err := r.bytes()
		if err != nil {
			return nil, err
		}
		l, err := decodeLink(body)
		if err != nil {
			return nil, fmt.Errorf("link %d: %w", len(n.Links), err)
		}
		n.Links = append(n.Links, l)
	}
	if err := r.expect(0x0a); err != nil {
		return nil, err
	}
	data, err := r.bytes()
	if err != nil {
		return nil, err
	}
	if len(r.b) > 0 {
		return nil, errors.New("bytes after the end")
	}
	return n, n.decodeData(data)
}

func decodeLink(b []byte) (l Link, err error) {
	r := reader{b}
	if err := r.expect(0x0a); err != nil {
		return l, err
	}
	id, err := r.bytes()
	if err != nil {
		return l, err
	}
	if l.CID, err = FromBytes(id); err != nil {
		return l, err
	}
	if err := r.expect(0x12); err != nil {
		return l, err
	}
	name, err := r.bytes()
	if err != nil {
		return l, err
	}
	l.Name = string(name)
	if err := r.expect(0x18); err != nil {
		return l, err
	}
	if l.Tsize, err = r.size(); err != nil {
		return l, err
	}
	if len(r.b) > 0 {
		return l, errors.New("bytes after its end")
	}
	return l, nil
}

// decodeData reads the UnixFS message. It knows only the fields that Encode writes;
// the comparison in Decode detects extra fields and another order.
func (n *Node) decodeData(b []byte) error {
	r := reader{b}
	if err := r.expect(0x08); err != nil {
		return err
	}
	kind, err := r.uvarint()
	if err != nil {
		return err
	}
	switch Kind(kind) {
	case KindDir, KindShard: // the links hold the rest
		n.Kind = Kind(kind)
		return nil
	case KindSymlink:
		n.Kind = KindSymlink
		if err := r.expect(0x12); err != nil {
			return err
		}
		target, err := r.bytes()
		n.Target = string(target)
		return err
	case KindFile:
		n.Kind = KindFile
		return n.decodeFile(&r)
	}
	return fmt.Errorf("kind %d is not used", kind)
}

func (n *Node) decodeFile(r *reader) (err error) {
	if err := r.expect(0x18); err != nil {
		return err
	}
	if n.Size, err = r.size(); err != nil {
		return err
	}
	for len(r.b) > 0 && r.b[0] == 0x20 {
		r.b = r.b[1:]
		size, err := r.size()
		if err != nil {
			return err
		}
		n.BlockSizes = append(n.BlockSizes, size)
	}
	if len(r.b) == 0 {
		return nil
	}
	if err := r.expect(0x38); err != nil {
		return err
	}
	mode, err := r.uvarint()
	if err == nil && mode != execMode {
		err = fmt.Errorf("mode 0%o is not used", mode)
	}
	n.Exec = true
	return err
}

// check returns an error that names the rule a decoded node breaks, or nil.
func (n *Node) check() error {
	switch n.Kind {
	case KindFile:
		return n.checkFile()
	case KindSymlink:
		if len(n.Links) > 0 {
			return errors.New("it has links")
		}
		return CheckTarget(n.Target)
	case KindDir:
		return n.checkDir()
	}
	return n.checkShard()
}

func (n *Node) checkFile() error {
	if len(n.Links) != len(n.BlockSizes) || len(n.Links) > Width {
		return fmt.Errorf("it has %d links and %d sizes, and may have %d", len(n.Links), len(n.BlockSizes), Width)
	}
	if len(n.Links) == 0 && !n.Exec {
		return errors.New("it has no links")
	}
	var sum int64
	for i, size := range n.BlockSizes {
		l := n.Links[i]
		if size <= 0 || sum > math.MaxInt64-size {
			return fmt.Errorf("link %d has size %d", i, size)
		}
		sum += size
		if l.Name != "" {
			return fmt.Errorf("link %d has a name", i)
		}
		if l.CID.Codec() == Raw && (l.Tsize != size || size > LeafSize || size < LeafSize && i < len(n.Links)-1) {
			return fmt.Errorf("leaf %d has size %d", i, size)
		}
		if l.CID.Codec() == DagPB && l.Tsize <= size {
			return fmt.Errorf("link %d has total size %d for %d bytes", i, l.Tsize, size)
		}
		if l.CID.Codec() != n.Links[0].CID.Codec() {
			return fmt.Errorf("link %d has another depth", i)
		}
	}
	if sum != n.Size {
		return fmt.Errorf("its size is %d and its parts have %d", n.Size, sum)
	}
	return nil
}

func (n *Node) checkDir() error {
	size := 4
	for i, l := range n.Links {
		if err := CheckName(l.Name); err != nil {
			return err
		}
		if i > 0 && n.Links[i-1].Name >= l.Name {
			return fmt.Errorf("name %q is not after %q", l.Name, n.Links[i-1].Name)
		}
		size += linkLen(l.Name, l.Tsize)
	}
	if size > dirSize {
		return errors.New("it should be split into shards")
	}
	return nil
}

func (n *Node) checkShard() error {
	if len(n.Links) == 0 || len(n.Links) > fanout {
		return fmt.Errorf("it has %d links", len(n.Links))
	}
	last := -1
	for i, l := range n.Links {
		slot, ok := slotOf(l.Name)
		if !ok || slot <= last {
			return fmt.Errorf("link %d has the name %q", i, clip(l.Name))
		}
		last = slot
		if len(l.Name) == 2 {
			if l.CID.Codec() != DagPB {
				return fmt.Errorf("link %d is not a shard", i)
			}
			continue
		}
		if err := CheckName(l.Name[2:]); err != nil {
			return err
		}
	}
	return nil
}
