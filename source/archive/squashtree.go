package archive

import (
	"encoding/binary"
	"fmt"
	"io"
	"path"
)

// The types of inodes. The extended ones are seven more.
const (
	squashDir     = 1
	squashFile    = 2
	squashLink    = 3
	squashBlockDv = 4
	squashCharDv  = 5
	squashFifo    = 6
	squashSocket  = 7
	squashMore    = 7
)

var squashLeftOut = map[uint16]string{squashBlockDv: "a device", squashCharDv: "a device", squashFifo: "a named pipe", squashSocket: "a socket"}

// A squashInode is what a tree needs of an inode.
type squashInode struct {
	kind       uint16
	executable bool

	// Of a folder: where its list is, and how long it is. Of a file: where its blocks begin, and its size.
	at   int64
	size int64
	from int // of a folder: where the list begins in its metadata block; of a file: where its end begins in the fragment

	fragment uint32
	sizes    *metaReader // of a file: behind the inode are the sizes of its blocks
	target   string      // of a link
}

// inode reads the inode at a place: that of its metadata block in the table, and that in the block.
func (s *squashfs) inode(place uint64) (*squashInode, error) {
	if place>>48 != 0 {
		return nil, fmt.Errorf("%w: the place of an inode", errSquash)
	}
	r := &metaReader{s, s.inodes + int64(place>>16), int(place & 0xffff)}
	head, err := r.next(16)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	i := &squashInode{kind: le.Uint16(head), executable: le.Uint16(head[2:])&0o111 != 0}
	extended := i.kind > squashMore
	if extended {
		i.kind -= squashMore
	}
	// Bytes behind the common part.
	length := map[bool]map[uint16]int{
		false: {squashDir: 16, squashFile: 16, squashLink: 8}, true: {squashDir: 24, squashFile: 40, squashLink: 8},
	}[extended][i.kind]
	b, err := r.next(length)
	if err != nil {
		return nil, err
	}
	switch {
	case i.kind == squashDir && extended:
		i.size, i.at, i.from = int64(le.Uint32(b[4:])), int64(le.Uint32(b[8:])), int(le.Uint16(b[18:]))
	case i.kind == squashDir:
		i.at, i.size, i.from = int64(le.Uint32(b)), int64(le.Uint16(b[8:])), int(le.Uint16(b[10:]))
	case i.kind == squashFile && extended:
		i.at, i.size, i.fragment, i.from = int64(le.Uint64(b)), int64(le.Uint64(b[8:])), le.Uint32(b[28:]), int(le.Uint32(b[32:]))
	case i.kind == squashFile:
		i.at, i.fragment, i.from, i.size = int64(le.Uint32(b)), le.Uint32(b[4:]), int(le.Uint32(b[8:])), int64(le.Uint32(b[12:]))
	case i.kind == squashLink:
		n := le.Uint32(b[4:])
		if n > 4096 {
			return nil, fmt.Errorf("%w: an overlong link", errSquash)
		}
		target, err := r.next(int(n))
		i.target = string(target)
		return i, err
	case squashLeftOut[i.kind] == "":
		return nil, fmt.Errorf("%w: an inode of type %d", errSquash, i.kind)
	}
	i.sizes = r
	return i, nil
}

// unpackSquashfs unpacks the image of a squashfs.
func unpackSquashfs(w *treeWriter, image io.ReaderAt, size int64) error {
	s, err := openSquashfs(image, size)
	if err != nil {
		return err
	}
	defer s.close()
	root, err := s.inode(s.root)
	if err != nil {
		return err
	}
	if root.kind != squashDir {
		return fmt.Errorf("%w: its root is no folder", errSquash)
	}
	return w.squashDir(s, root, "")
}

// squashDir writes the entries of a folder.
func (w *treeWriter) squashDir(s *squashfs, dir *squashInode, name string) error {
	// The size counts the entries "." and "..", which have no bytes, as three.
	list := io.LimitReader(&metaReader{s, s.dirs + dir.at, dir.from}, dir.size-3)
	le := binary.LittleEndian
	for {
		var head [12]byte
		if _, err := io.ReadFull(list, head[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		for range int64(le.Uint32(head[:])) + 1 {
			var e [8]byte
			if _, err := io.ReadFull(list, e[:]); err != nil {
				return fmt.Errorf("%w: a list of a folder: %w", errSquash, err)
			}
			text := make([]byte, int(le.Uint16(e[6:]))+1)
			if _, err := io.ReadFull(list, text); err != nil {
				return fmt.Errorf("%w: a list of a folder: %w", errSquash, err)
			}
			place := uint64(le.Uint32(head[4:]))<<16 | uint64(le.Uint16(e[:]))
			if err := w.squashEntry(s, place, name, string(text)); err != nil {
				return err
			}
		}
	}
}

func (w *treeWriter) squashEntry(s *squashfs, place uint64, dir, base string) error {
	name := path.Join(dir, base)
	if base == "." || base == ".." || path.Base(name) != base {
		return refuse(name, "a name that is no file's")
	}
	i, err := s.inode(place)
	if err != nil {
		return err
	}
	size := int64(0)
	if i.kind == squashFile {
		size = i.size
	}
	if err := w.admit(name, size); err != nil {
		return err
	}
	switch i.kind {
	case squashDir:
		if err := w.dir(name); err != nil {
			return err
		}
		return w.squashDir(s, i, name)
	case squashFile:
		return w.file(name, size, i.executable, w.bounded(&squashReader{s: s, i: i, left: size}))
	case squashLink:
		return w.symlink(name, i.target)
	}
	return w.leaveOut(name, squashLeftOut[i.kind])
}

// A squashReader reads the content of a file: its blocks, and its end out of a fragment.
type squashReader struct {
	s     *squashfs
	i     *squashInode
	left  int64 // bytes that are not in block
	block []byte
}

func (r *squashReader) Read(p []byte) (int, error) {
	if len(r.block) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.block)
	r.block = r.block[n:]
	return n, nil
}

// fill reads the next block.
func (r *squashReader) fill() error {
	want := min(r.left, r.s.block)
	switch {
	case want < r.s.block && r.i.fragment != squashNone:
		b, err := r.s.fragmentOf(r.i.fragment)
		if err != nil {
			return err
		}
		if from := int64(r.i.from); from > int64(len(b)) || want > int64(len(b))-from {
			return fmt.Errorf("%w: a fragment is too short", errSquash)
		}
		r.block = b[r.i.from:][:want]
	default:
		text, err := r.i.sizes.next(4)
		if err != nil {
			return err
		}
		size := binary.LittleEndian.Uint32(text)
		if size == 0 { // a hole
			r.block = make([]byte, want)
			break
		}
		if r.block, err = r.s.dataAt(r.i.at, size, r.s.block); err != nil {
			return err
		}
		if int64(len(r.block)) != want {
			return fmt.Errorf("%w: a block has %d bytes, want %d", errSquash, len(r.block), want)
		}
		r.i.at += int64(size &^ squashPlainData)
	}
	r.left -= want
	return nil
}
