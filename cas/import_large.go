package cas

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/pir/cid"
)

const (
	// pipeline is how many leaves of a file are in flight between reading, hashing and writing.
	pipeline = 8
	// writeAhead is how many bytes are written before the system begins to write them to the disk.
	writeAhead = 8 << 20
)

// large takes in a file of more than one leaf, whose first bytes are in first.
// One goroutine reads and writes, one hashes.
func (im *importing) large(w *importWorker, f fs.File, info fs.FileInfo, first []byte, exec bool) (cid.DirEntry, int64, error) {
	out, err := im.create(w)
	if err != nil {
		return cid.DirEntry{}, 0, err
	}
	p := &pipe{im: im, in: f, out: out, first: first}
	if err := p.take(info.Size()); err != nil {
		return cid.DirEntry{}, 0, errors.Join(err, out.Close())
	}
	if src, ok := f.(*os.File); ok && !im.s.noClone.Load() {
		// A clone is a snapshot: the bytes that are hashed are those that are kept, as with a copy.
		if disk.CloneFile(out, src) {
			p.in, p.out, p.first = out, nil, nil
		} else {
			im.s.noClone.Store(true)
		}
	}
	if p.out != nil {
		err = disk.ReserveSpace(out, info.Size())
	}
	if err == nil {
		err = p.run()
	}
	if p.out != nil && err == nil && p.size < info.Size() { // the file shrank while it was read
		err = out.Truncate(p.size)
	}
	if e := out.Close(); err == nil {
		err = e
	}
	if err != nil {
		return cid.DirEntry{}, 0, err
	}
	blob, size, _, leaves := p.leaves.Finish()
	wrote := false
	err = im.claim(blob, size, func() error {
		wrote = true
		w.blobs = append(w.blobs, newBlob{out.Name(), blob, false})
		return nil
	})
	if err != nil {
		return cid.DirEntry{}, 0, err
	}
	if !wrote {
		if err := im.room.Take(-p.taken, 0); err != nil {
			return cid.DirEntry{}, 0, err
		}
		if err := os.Remove(out.Name()); err != nil {
			return cid.DirEntry{}, 0, err
		}
	}
	return im.place(blob, leaves, size, exec), size, nil
}

// A pipe carries one large file from reading to its blob.
type pipe struct {
	im    *importing
	in    io.Reader
	out   *os.File // nil: the bytes are there already
	first []byte

	size   int64
	taken  int64 // room in the store
	leaves *cid.FileBuilder
}

// A piece is a full buffer on its way; the last one may be shorter.
type piece struct {
	buf  *disk.Buffer
	size int
}

func (p *pipe) run() error {
	p.leaves = cid.NewFile(false)
	pieces := make(chan piece, pipeline)
	free := make(chan *disk.Buffer, pipeline)
	for range pipeline {
		free <- disk.GetBuffer()
	}
	var hashing sync.WaitGroup
	hashing.Go(func() {
		for c := range pieces {
			p.leaves.AddLeaf(blake3.Sum256(c.buf[:c.size]), int64(c.size))
			free <- c.buf
		}
	})
	err := p.copy(pieces, free)
	close(pieces)
	hashing.Wait()
	for range pipeline {
		(<-free).Free()
	}
	return err
}

// copy reads and writes, and sends each piece on to be hashed, which may end before the piece is written.
func (p *pipe) copy(pieces chan<- piece, free chan *disk.Buffer) error {
	started := int64(0)
	for {
		if err := p.im.ctx.Err(); err != nil {
			return err
		}
		buf := <-free
		n, err := p.fill(buf[:])
		end := err == io.EOF || err == io.ErrUnexpectedEOF // also of a file that has grown since
		if n == 0 || err != nil && !end {
			free <- buf
			if end {
				return nil
			}
			return err
		}
		pieces <- piece{buf, n}
		if limit := p.im.s.o.Limits.Bytes; limit > 0 && p.size+int64(n) > limit {
			return cid.ErrLimit
		}
		if err := p.take(p.size + int64(n)); err != nil { // the file has grown
			return err
		}
		if p.out != nil {
			if err := p.im.s.dir.Step(disk.StepWrite, p.out.Name()); err != nil {
				return err
			}
			if _, err := p.out.Write(buf[:n]); err != nil {
				return err
			}
		}
		p.size += int64(n)
		if p.out != nil && p.size-started >= writeAhead {
			disk.StartWriting(p.out, started, p.size-started)
			started = p.size
		}
		if end {
			return nil
		}
	}
}

// take takes room in the store for so many bytes of the file.
func (p *pipe) take(size int64) error {
	more := size - p.taken
	if more <= 0 {
		return nil
	}
	if err := p.im.room.Take(more, more); err != nil {
		return err
	}
	p.taken = size
	return nil
}

// fill reads the next leaf: first the bytes that were read already, then the file.
func (p *pipe) fill(b []byte) (int, error) {
	n := copy(b, p.first)
	p.first = p.first[n:]
	if n == len(b) {
		return n, nil
	}
	m, err := io.ReadFull(p.in, b[n:])
	return n + m, err
}
