package archive

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/MordragT/nuka/protocol"
)

// resolve computes the ids of the deltas. It handles a base before its deltas, so that the base is often still in memory.
func (p *gitPack) resolve() error {
	byOffset, byID := map[int32][]int32{}, map[string][]int32{}
	var next []int32
	left := 0
	for i := range p.objects {
		i := int32(i) //nolint:gosec // an index of at most a 32-bit number of objects
		switch o := &p.objects[i]; o.kind {
		case objOfsDelta:
			byOffset[o.base] = append(byOffset[o.base], i)
			left++
		case objRefDelta:
			byID[p.refs[i]] = append(byID[p.refs[i]], i)
			left++
		default:
			next = append(next, i)
		}
	}
	for len(next) > 0 {
		at := next[len(next)-1]
		next = next[:len(next)-1]
		id := p.objects[at].id
		deltas := append(byOffset[at], byID[id]...)
		delete(byID, id) // the same object may be in the pack twice
		for _, d := range deltas {
			if err := p.resolveDelta(d, at); err != nil {
				return err
			}
			left--
		}
		next = append(next, deltas...)
	}
	if left > 0 {
		return badPack("the bases of %d deltas are not in it", left)
	}
	return nil
}

func (p *gitPack) resolveDelta(at, base int32) error {
	o, b := &p.objects[at], &p.objects[base]
	o.base, o.kind = base, b.kind
	if o.depth = b.depth + 1; o.depth > maxChain {
		return protocol.Errorf(protocol.Exhausted, "git pack: a chain of more than %d deltas", maxChain)
	}
	content, err := p.content(at)
	if err != nil {
		return err
	}
	sum := p.newHash()
	fmt.Fprintf(sum, "%s %d\x00", objNames[o.kind], len(content))
	sum.Write(content)
	o.size, o.id = int64(len(content)), string(sum.Sum(nil))
	p.ids[o.id] = at
	return nil
}

// content returns the bytes of an object, which the caller must not change.
func (p *gitPack) content(at int32) ([]byte, error) {
	var chain []int32 // the deltas to apply, last one first
	base := at
	content, held := p.cached[base]
	for !held && p.objects[base].base >= 0 {
		chain = append(chain, base)
		base = p.objects[base].base
		content, held = p.cached[base]
	}
	if !held {
		var err error
		if content, err = p.stored(base); err != nil {
			return nil, err
		}
		p.keep(base, content)
	}
	for _, d := range slices.Backward(chain) {
		delta, err := p.stored(d)
		if err != nil {
			return nil, err
		}
		if content, err = p.apply(content, delta); err != nil {
			return nil, err
		}
		p.keep(d, content)
	}
	return content, nil
}

// stored inflates the stored bytes of an object: its content or its delta.
func (p *gitPack) stored(at int32) ([]byte, error) {
	o := &p.objects[at]
	if o.stored > maxInMemory {
		return nil, protocol.Errorf(protocol.Exhausted, "git pack: the base of a delta, or a tree, of %d bytes: the limit is %d", o.stored, maxInMemory)
	}
	r, err := p.reader(at)
	if err != nil {
		return nil, err
	}
	out := make([]byte, o.stored)
	if _, err := io.ReadFull(r, out); err != nil {
		return nil, inflateErr(err)
	}
	return out, nil
}

// reader returns a reader of the stored bytes of an object. It is valid until the next call.
func (p *gitPack) reader(at int32) (io.Reader, error) {
	o := &p.objects[at]
	if err := p.spend(o.stored); err != nil {
		return nil, err
	}
	r, err := p.inflater(io.NewSectionReader(p.file, o.at, p.end-o.at))
	return movingReader{p, r}, err
}

// keep caches an object's bytes.
func (p *gitPack) keep(at int32, content []byte) {
	if _, held := p.cached[at]; held || len(content) > packCache/2 {
		return
	}
	p.cached[at] = content
	p.cacheOrder = append(p.cacheOrder, at)
	p.cacheBytes += len(content)
	for p.cacheBytes > packCache {
		oldest := p.cacheOrder[0]
		p.cacheOrder = p.cacheOrder[1:]
		p.cacheBytes -= len(p.cached[oldest])
		delete(p.cached, oldest)
	}
}

// apply computes an object from its base and a delta (gitformat-pack(5), "Deltified representation").
func (p *gitPack) apply(base, delta []byte) ([]byte, error) {
	in := bytes.NewReader(delta)
	from, err := deltaSize(in)
	if err != nil {
		return nil, err
	}
	size, err := deltaSize(in)
	if err != nil {
		return nil, err
	}
	if from != int64(len(base)) {
		return nil, badPack("a delta of an object of %d bytes has a base of %d", from, len(base))
	}
	if size > min(maxInMemory, p.most()) {
		return nil, protocol.Errorf(protocol.Exhausted, "git pack: a delta makes an object of %d bytes: the limit is %d", size, min(maxInMemory, p.most()))
	}
	if err := p.spend(size); err != nil {
		return nil, err
	}
	out := make([]byte, 0, size)
	for in.Len() > 0 {
		op, _ := in.ReadByte()
		piece := int64(op)
		switch {
		case op == 0:
			return nil, badPack("an instruction of a delta that is reserved")
		case op&0x80 != 0:
			at, n, err := deltaCopy(op, in)
			if err != nil {
				return nil, err
			}
			if at > from || n > from-at || n > size-int64(len(out)) {
				return nil, badPack("a delta copies what its base does not have, or too much")
			}
			out = append(out, base[at:at+n]...)
		case piece > int64(in.Len()) || piece > size-int64(len(out)):
			return nil, badPack("a delta inserts more than it has, or too much")
		default:
			begin := len(delta) - in.Len()
			out = append(out, delta[begin:begin+int(op)]...)
			if _, err := in.Seek(piece, io.SeekCurrent); err != nil {
				return nil, err
			}
		}
	}
	if int64(len(out)) != size {
		return nil, badPack("a delta makes %d bytes of the %d that it promises", len(out), size)
	}
	return out, nil
}

func deltaSize(in io.ByteReader) (int64, error) {
	n := int64(0)
	for shift := 0; ; shift += 7 {
		b, err := in.ReadByte()
		if err != nil || shift > 55 {
			return 0, badPack("a delta's size is cut off or too large")
		}
		n |= int64(b&0x7f) << shift
		if b&0x80 == 0 {
			return n, nil
		}
	}
}

// deltaCopy reads the rest of a copy instruction. The low bits of op say which bytes of the offset and of the size follow.
func deltaCopy(op byte, in io.ByteReader) (at, n int64, err error) {
	for bit := range 7 {
		if op&(1<<bit) == 0 {
			continue
		}
		b, err := in.ReadByte()
		if err != nil {
			return 0, 0, badPack("an instruction of a delta is cut off")
		}
		if bit < 4 {
			at |= int64(b) << (8 * bit)
		} else {
			n |= int64(b) << (8 * (bit - 4))
		}
	}
	if n == 0 {
		n = 0x10000
	}
	return at, n, nil
}
