package cas

import (
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"

	"github.com/zeebo/blake3"
	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/pir/cid"
)

func defaultWorkers() int { return runtime.GOMAXPROCS(0) }

// emptyBlob is the blob of a file without bytes.
var emptyBlob = blobHash(blake3.Sum256(nil))

// A buffer holds one leaf.
type buffer [cid.LeafSize]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

const (
	// pipeline is how many leaves of a file are under way between reading, hashing and writing.
	pipeline = 8
	// writeAhead is how much is written before the disk is told to begin.
	writeAhead = 8 << 20
)

// large takes in a file of more than one leaf, whose first bytes are in first.
// One goroutine reads and writes, one hashes the whole, one the leaves.
func (im *importing) large(w *importWorker, f fs.File, info fs.FileInfo, first []byte, exec bool) (cid.DirEntry, int64, error) {
	out, err := im.create(w)
	if err != nil {
		return cid.DirEntry{}, 0, err
	}
	p := &pipe{im: im, in: f, out: out, first: first}
	if src, ok := f.(*os.File); ok && !im.s.noClone.Load() {
		// A clone is a snapshot: what is hashed is what is kept, as with a copy.
		if cloneFile(out, src) {
			p.in, p.out, p.first = out, nil, nil
		} else {
			im.s.noClone.Store(true)
		}
	}
	if p.out != nil {
		err = reserveSpace(out, info.Size())
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
	wrote := false
	err = im.claim(p.hash, p.size, func() error {
		wrote = true
		w.blobs = append(w.blobs, newBlob{out.Name(), p.hash, false})
		return nil
	})
	if err != nil {
		return cid.DirEntry{}, 0, err
	}
	if !wrote {
		if err := os.Remove(out.Name()); err != nil {
			return cid.DirEntry{}, 0, err
		}
	}
	_, size, _, leaves := p.leaves.Finish()
	return im.place(p.hash, leaves, size, exec), size, nil
}

// A pipe carries one large file from reading to its blob.
type pipe struct {
	im    *importing
	in    io.Reader
	out   *os.File // nil: the bytes are there already
	first []byte

	hash   blobHash
	size   int64
	leaves *cid.FileBuilder
}

// A piece is a full buffer on its way; the last one may be shorter.
type piece struct {
	buf  *buffer
	size int
	busy *sync.WaitGroup // of those that still read it
}

func (p *pipe) run() error {
	p.leaves = cid.NewFile(false)
	whole := make(chan piece, pipeline)
	leaf := make(chan piece, pipeline)
	g := new(errgroup.Group)
	g.Go(func() error {
		h := blake3.New()
		for c := range whole {
			h.Write(c.buf[:c.size]) //nolint:errcheck // never fails
			c.busy.Done()
		}
		h.Sum(p.hash[:0])
		return nil
	})
	g.Go(func() error {
		for c := range leaf {
			p.leaves.AddLeaf(blake3.Sum256(c.buf[:c.size]), int64(c.size))
			c.busy.Done()
		}
		return nil
	})
	err := p.copy(whole, leaf)
	close(whole)
	close(leaf)
	g.Wait() //nolint:errcheck // hashing does not fail
	return err
}

// copy reads and writes, and hands each piece on to be hashed.
func (p *pipe) copy(whole, leaf chan<- piece) error {
	var ring [pipeline]piece
	for i := range ring {
		ring[i].buf = buffers.Get().(*buffer)
		ring[i].busy = new(sync.WaitGroup)
		defer func(c piece) {
			c.busy.Wait()
			buffers.Put(c.buf)
		}(ring[i])
	}
	started := int64(0)
	for i := 0; ; i++ {
		if err := p.im.ctx.Err(); err != nil {
			return err
		}
		c := ring[i%pipeline]
		c.busy.Wait()
		n, err := p.fill(c.buf[:])
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		if n == 0 {
			return nil
		}
		c.size = n
		c.busy.Add(2)
		whole <- c
		leaf <- c
		if limit := p.im.s.o.Limits.Bytes; limit > 0 && p.size+int64(n) > limit {
			return cid.ErrLimit
		}
		if p.out != nil {
			if err := p.im.s.step(StepWrite, p.out.Name()); err != nil {
				return err
			}
			if _, err := p.out.Write(c.buf[:n]); err != nil {
				return err
			}
		}
		p.size += int64(n)
		if p.out != nil && p.size-started >= writeAhead {
			startWriting(p.out, started, p.size-started)
			started = p.size
		}
	}
}

// fill reads the next leaf: first what has been read already, then the file.
func (p *pipe) fill(b []byte) (int, error) {
	n := copy(b, p.first)
	p.first = p.first[n:]
	if n == len(b) {
		return n, nil
	}
	m, err := io.ReadFull(p.in, b[n:])
	return n + m, err
}
