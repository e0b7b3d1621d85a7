package archive

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"crypto/sha1" //nolint:gosec // git's object ids; what fixes an output is the hash of its tree, never one of these
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"slices"

	"github.com/MordragT/nuka/protocol"
)

// The kinds of objects in a pack (gitformat-pack(5)).
const (
	objCommit   = 1
	objTree     = 2
	objBlob     = 3
	objTag      = 4
	objOfsDelta = 6
	objRefDelta = 7
)

var objNames = map[byte]string{objCommit: "commit", objTree: "tree", objBlob: "blob", objTag: "tag"}

// Bounds on a pack, beside those of Limits. Git itself writes no longer chains, and no deltas of larger objects.
const (
	maxChain    = 4095
	maxInMemory = 512 << 20 // bytes of an object that must be in memory: a delta, its base, its result, a tree
	maxTags     = 16        // tags of tags
	packCache   = 96 << 20  // bytes of objects cached for later deltas
	packWork    = 16        // bytes that may be inflated or copied for each byte that the tree may have
)

// A packObject is one object of a pack.
type packObject struct {
	at     int64 // offset of its compressed bytes
	stored int64 // inflated size of the stored bytes: of the object or of the delta
	size   int64 // size of the object; known after it is resolved
	base   int32 // index of the delta's base; -1: the object is not a delta
	depth  int32 // length of the delta chain
	kind   byte
	id     string // raw; "" until the object is resolved
}

// A gitPack reads a git packfile in which all bases of deltas are included.
// It computes the id of each object from the bytes, so no object can stand in for another.
type gitPack struct {
	w       *treeWriter
	file    io.ReaderAt
	end     int64 // offset of the end of the objects, where the checksum begins
	newHash func() hash.Hash
	objects []packObject
	starts  []int64          // offsets of the objects' headers, in order
	refs    map[int32]string // the bases of deltas that name them by id
	ids     map[string]int32
	work    int64 // bytes that may still be inflated or copied
	inflate io.ReadCloser

	cached     map[int32][]byte
	cacheOrder []int32
	cacheBytes int
}

func badPack(format string, args ...any) error {
	return protocol.Errorf(protocol.Invalid, "git pack: "+format, args...).
		WithHint("the repository or the server is broken or hostile")
}

// unpackGit writes the tree of a commit in a pack.
func unpackGit(w *treeWriter, file io.ReaderAt, size int64, commit string) error {
	id, err := hex.DecodeString(commit)
	p := &gitPack{w: w, file: file, ids: map[string]int32{}, cached: map[int32][]byte{}}
	switch {
	case err == nil && len(id) == sha1.Size:
		p.newHash = sha1.New
	case err == nil && len(id) == sha256.Size:
		p.newHash = sha256.New
	default:
		return badPack("%.80q is not a commit id", commit)
	}
	p.end = size - int64(len(id))
	p.work = math.MaxInt64
	if most := p.most(); most < math.MaxInt64/packWork {
		p.work = most * packWork
	}
	if err := p.scan(); err != nil {
		return err
	}
	if err := p.resolve(); err != nil {
		return err
	}
	tree, err := p.treeOf(string(id))
	if err != nil {
		return err
	}
	err = p.writeTree(tree, "")
	w.result.Entries, w.result.Bytes = w.entries, w.bytes
	return err
}

// most returns how many bytes objects may have: those of files and those of trees.
func (p *gitPack) most() int64 {
	metadata := int64(p.w.limits.Files) * headerBytes
	return metadata + min(p.w.limits.Unpacked, math.MaxInt64-metadata)
}

// spend adds n to the work and returns an error if the work exceeds its bound or the context is done.
func (p *gitPack) spend(n int64) error {
	if err := p.w.ctx.Err(); err != nil {
		return err
	}
	if p.w.moved != nil {
		p.w.moved()
	}
	if n < 0 || n > p.work {
		return protocol.Errorf(protocol.Exhausted, "git pack: its objects are more than the limits allow")
	}
	p.work -= n
	return nil
}

// scan locates the objects and computes the ids of those that are not deltas.
func (p *gitPack) scan() error {
	var head [12]byte
	if p.end < int64(len(head)) {
		return badPack("it is too short")
	}
	if _, err := p.file.ReadAt(head[:], 0); err != nil {
		return err
	}
	version, count := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
	if string(head[:4]) != "PACK" || version != 2 && version != 3 {
		return badPack("it does not begin as one")
	}
	if int64(count) > int64(p.w.limits.Files)+maxTags+1 {
		return protocol.Errorf(protocol.Exhausted, "git pack: %d objects are more than the limit of %d entries", count, p.w.limits.Files)
	}
	if int64(count) > p.end/2 {
		return badPack("%d objects do not fit into %d bytes", count, p.end)
	}
	in := &countingBytes{r: bufio.NewReaderSize(io.NewSectionReader(p.file, int64(len(head)), p.end-int64(len(head))), 64<<10), n: int64(len(head))}
	var refs map[int32]string
	total := int64(0)
	for i := range int32(count) {
		o, ref, err := p.header(in)
		if err != nil {
			return err
		}
		if o.stored > p.most()-total {
			return protocol.Errorf(protocol.Exhausted, "git pack: its objects are more than the limits allow")
		}
		total += o.stored
		if err := p.pass(in, &o); err != nil {
			return err
		}
		p.objects = append(p.objects, o)
		if ref != "" {
			if refs == nil {
				refs = map[int32]string{}
			}
			refs[i] = ref
		}
		if o.id != "" {
			p.ids[o.id] = i
		}
	}
	if in.n != p.end {
		return badPack("%d bytes follow its last object", p.end-in.n)
	}
	if err := p.checksum(); err != nil {
		return err
	}
	p.refs = refs
	return nil
}

// header reads an object's header, and the id of the base if there is one.
func (p *gitPack) header(in *countingBytes) (o packObject, ref string, err error) {
	begin := in.n
	o.base = -1
	b, err := in.ReadByte()
	if err != nil {
		return o, "", badPack("it is cut off")
	}
	o.kind = b >> 4 & 7
	o.stored = int64(b & 15)
	for shift := 4; b&0x80 != 0; shift += 7 {
		if b, err = in.ReadByte(); err != nil || shift > 55 {
			return o, "", badPack("an object's size is cut off or too large")
		}
		o.stored |= int64(b&0x7f) << shift
	}
	switch o.kind {
	case objCommit, objTree, objBlob, objTag:
		o.size = o.stored
	case objOfsDelta:
		distance := int64(-1)
		for n := 0; ; n++ {
			if b, err = in.ReadByte(); err != nil || n > 7 {
				return o, "", badPack("the place of a delta's base is cut off or too large")
			}
			if distance = (distance+1)<<7 | int64(b&0x7f); b&0x80 == 0 {
				break
			}
		}
		if o.base, err = p.startingAt(begin - distance); err != nil {
			return o, "", err
		}
	case objRefDelta:
		id := make([]byte, p.newHash().Size())
		if _, err := io.ReadFull(in, id); err != nil {
			return o, "", badPack("the id of a delta's base is cut off")
		}
		ref = string(id)
	default:
		return o, "", badPack("an object of kind %d", o.kind)
	}
	if o.kind > objTag && o.stored > maxInMemory {
		return o, "", protocol.Errorf(protocol.Exhausted, "git pack: a delta of %d bytes is more than the limit of %d", o.stored, maxInMemory)
	}
	o.at = in.n
	p.starts = append(p.starts, begin)
	return o, ref, nil
}

// startingAt returns the index of the object whose header begins at an offset.
func (p *gitPack) startingAt(offset int64) (int32, error) {
	i, found := slices.BinarySearch(p.starts, offset)
	if !found {
		return 0, badPack("a delta's base is at offset %d, where no object before it begins", offset)
	}
	return int32(i), nil //nolint:gosec // an index of at most a 32-bit number of objects
}

// pass inflates an object, which shows where the next one begins, and hashes it if it is not a delta.
func (p *gitPack) pass(in *countingBytes, o *packObject) error {
	if err := p.spend(o.stored); err != nil {
		return err
	}
	r, err := p.inflater(in)
	if err != nil {
		return err
	}
	var sum hash.Hash
	to := io.Discard
	if o.kind <= objTag {
		sum = p.newHash()
		fmt.Fprintf(sum, "%s %d\x00", objNames[o.kind], o.stored)
		to = sum
	}
	n, err := io.Copy(to, io.LimitReader(movingReader{p, r}, o.stored+1))
	if err != nil {
		return inflateErr(err)
	}
	if n != o.stored {
		return badPack("an object of %d bytes says that it has %d", n, o.stored)
	}
	if sum != nil {
		o.id = string(sum.Sum(nil))
	}
	return nil
}

// inflater returns a reader of the zlib stream at the start of r. Only the newest one is valid.
func (p *gitPack) inflater(r io.Reader) (io.Reader, error) {
	if p.inflate == nil {
		z, err := zlib.NewReader(r)
		if err != nil {
			return nil, inflateErr(err)
		}
		p.inflate = z
		return z, nil
	}
	resetter, _ := p.inflate.(zlib.Resetter)
	if err := resetter.Reset(r, nil); err != nil {
		return nil, inflateErr(err)
	}
	return p.inflate, nil
}

func inflateErr(err error) error {
	var coded *protocol.Error
	if errors.As(err, &coded) {
		return err
	}
	return badPack("an object does not inflate: %v", err)
}

// checksum compares the hash of all bytes with the hash at the end.
func (p *gitPack) checksum() error {
	sum := p.newHash()
	if _, err := io.Copy(sum, movingReader{p, io.NewSectionReader(p.file, 0, p.end)}); err != nil {
		return err
	}
	want := make([]byte, sum.Size())
	if _, err := p.file.ReadAt(want, p.end); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.Equal(want, sum.Sum(nil)) {
		return badPack("its checksum is wrong")
	}
	return nil
}

// A movingReader reports progress to the unpacking's watchdog, and ends with its context.
type movingReader struct {
	p *gitPack
	r io.Reader
}

func (m movingReader) Read(b []byte) (int, error) {
	if err := m.p.spend(0); err != nil {
		return 0, err
	}
	return m.r.Read(b)
}

// A countingBytes counts the bytes read. It is an io.ByteReader, so that a decompressor reads nothing beyond the end of a zlib stream.
type countingBytes struct {
	r *bufio.Reader
	n int64
}

func (c *countingBytes) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

func (c *countingBytes) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}
