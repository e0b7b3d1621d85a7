package cas

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/MordragT/nuka/pir/cid"
)

// The folder of a Receiving is tmp/receive/ROOT. It holds
//
//	nodes       the nodes that have come, each after its length, 4 bytes little endian; parents first
//	placed      the blobs that were made under their final names, in the binary form of CIDs
//	part-BLOB   a file of several leaves
//	leaf-BLOB   a small file whose final name was taken
//	clean       the Receiving was closed, so placed is complete
//
// None of it is believed: all is compared with its hashes when it is found again. So nothing needs a sync before Finish.
const (
	receiveDir = "receive"
	nodesFile  = "nodes"
	placedFile = "placed"
	cleanFile  = "clean"
	partPrefix = "part-"
	leafPrefix = "leaf-"

	// receiveAge is how long what has come is kept without another Receive.
	receiveAge = 7 * 24 * time.Hour
)

// An appendFile is a file that grows. Closed is its zero value.
type appendFile struct {
	f   *os.File
	end int64
	buf []byte
}

// flush writes what is buffered.
func (a *appendFile) flush() error {
	if a.f == nil || len(a.buf) == 0 {
		return nil
	}
	if _, err := a.f.WriteAt(a.buf, a.end); err != nil {
		return err
	}
	a.end += int64(len(a.buf))
	a.buf = a.buf[:0]
	return nil
}

func (a *appendFile) close() error {
	if a.f == nil {
		return nil
	}
	err := errors.Join(a.flush(), a.f.Close())
	a.f = nil
	return err
}

// makeDir makes the folder and its files, or opens those there are. The caller holds mu.
func (r *Receiving) makeDir() error {
	if r.made {
		return nil
	}
	if err := r.s.checkSpace(); err != nil {
		return err
	}
	if err := r.s.step(StepCreate, r.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(r.dir, cleanFile)); err == nil {
		// With the mark after a power cut, names that were made since would be left over for ever.
		if err := syncDir(r.dir); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for name, a := range map[string]*appendFile{nodesFile: &r.nodeLog, placedFile: &r.placed} {
		if a.f != nil {
			continue
		}
		f, err := os.OpenFile(filepath.Join(r.dir, name), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		a.f = f
	}
	var err error
	if r.placed.end, err = readPlaced(r.dir, func(cid.CID) error { return nil }); err != nil {
		return err
	}
	r.made = true
	now := time.Now()
	return os.Chtimes(r.dir, now, now)
}

// closeState closes the files and, when there are some, marks them complete.
func (r *Receiving) closeState() error {
	if !r.made {
		return nil
	}
	r.made = false
	err := r.placed.flush()
	if err == nil {
		err = r.placed.f.Sync()
	}
	if e := errors.Join(r.placed.close(), r.nodeLog.close()); err == nil {
		err = e
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(r.dir, cleanFile), nil, 0o644)
	}
	return err
}

// logNode appends a node to the log. The caller holds mu.
func (r *Receiving) logNode(b []byte, p nodePlace) (nodePlace, error) {
	if r.nodeLog.end+int64(len(b)) > maxNodeBytes {
		return p, fmt.Errorf("%w: more than %d bytes of nodes", cid.ErrLimit, maxNodeBytes)
	}
	path := r.nodeLog.f.Name()
	if err := r.s.step(StepWrite, path); err != nil {
		return p, err
	}
	r.nodeLog.buf = binary.LittleEndian.AppendUint32(r.nodeLog.buf[:0], uint32(len(b)))
	r.nodeLog.buf = append(r.nodeLog.buf, b...)
	p.offset, p.size = r.nodeLog.end+4, int32(len(b))
	if err := r.nodeLog.flush(); err != nil {
		r.nodeLog.buf = r.nodeLog.buf[:0]
		return p, err
	}
	return p, nil
}

// node returns a node that is here, compared with its hash, and its encoding. The caller holds mu.
func (r *Receiving) node(c cid.CID) (*cid.Node, []byte, error) {
	p, ok := r.nodes[c.Digest()]
	if !ok || p.offset < 0 {
		b, err := r.s.nodeBytes(c)
		if err != nil {
			return nil, nil, err
		}
		n, err := cid.Decode(b)
		return n, b, err
	}
	b := make([]byte, p.size)
	if _, err := r.nodeLog.f.ReadAt(b, p.offset); err != nil {
		return nil, nil, err
	}
	if cid.Sum(cid.DagPB, b) != c {
		return nil, nil, fmt.Errorf("node %s that was received: %w", c, ErrDamaged)
	}
	n, err := cid.Decode(b)
	return n, b, err
}

// load finds what an earlier Receiving has left and plans what is wanted. The caller holds life.
func (r *Receiving) load(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := os.Lstat(r.dir); err == nil {
		r.found = true
		if err := r.makeDir(); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if r.root.Codec() == cid.DagPB {
		if err := r.wantNode(r.root, 0); err != nil {
			return err
		}
		if err := r.replayNodes(ctx); err != nil {
			return err
		}
		if r.missing > 0 {
			return nil
		}
	}
	return r.plan(ctx)
}

// replayNodes takes in the nodes of the log, those that are wanted, up to a torn end.
func (r *Receiving) replayNodes(ctx context.Context) error {
	if !r.made {
		return nil
	}
	in := bufio.NewReaderSize(io.NewSectionReader(r.nodeLog.f, 0, maxNodeBytes+cid.MaxNode), 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return unlessEnd(err)
		}
		size := binary.LittleEndian.Uint32(head[:])
		if size > cid.MaxNode {
			return nil
		}
		b := make([]byte, size)
		if _, err := io.ReadFull(in, b); err != nil {
			return unlessEnd(err)
		}
		c := cid.Sum(cid.DagPB, b)
		p := nodePlace{offset: r.nodeLog.end + 4, size: int32(size)}
		// One that is in the index by now, or below such a one, is no longer needed; one that was torn is nobody's.
		if old := r.nodes[c.Digest()]; old.offset == wanted {
			p.level = old.level
			n, err := cid.Decode(b)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrBadTree, err)
			}
			if err := r.addNode(c, n, p); err != nil {
				return err
			}
		}
		r.nodeLog.end += 4 + int64(size)
	}
}

func unlessEnd(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}

// logPlaced notes that a blob was made under its final name. The caller holds mu.
func (r *Receiving) logPlaced(blob cid.CID) error {
	r.placed.buf = append(r.placed.buf, blob.Bytes()...)
	if len(r.placed.buf) < 4096 {
		return nil
	}
	return r.placed.flush()
}

// readPlaced calls fn for each record of the file placed of a folder and returns where they end.
// A torn end is no error: nothing is believed that a record says.
func readPlaced(dir string, fn func(blob cid.CID) error) (end int64, err error) {
	f, err := os.Open(filepath.Join(dir, placedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	in := bufio.NewReader(f)
	for {
		var b [cid.Size]byte
		if _, err := io.ReadFull(in, b[:]); err != nil {
			return end, unlessEnd(err)
		}
		blob, err := cid.FromBytes(b[:])
		if err != nil {
			return end, nil
		}
		if err := fn(blob); err != nil {
			return end, err
		}
		end += cid.Size
	}
}

// eachReceived calls fn for the folder of each Receiving.
func (s *Store) eachReceived(fn func(dir string, info fs.FileInfo) error) error {
	list, err := os.ReadDir(s.path(tmpDir, receiveDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			return err
		}
		if err := fn(s.path(tmpDir, receiveDir, e.Name()), info); err != nil {
			return err
		}
	}
	return nil
}

// uncleanReceived says whether a Receiving was cut off.
func (s *Store) uncleanReceived() (bool, error) {
	unclean := false
	err := s.eachReceived(func(dir string, _ fs.FileInfo) error {
		if _, err := os.Lstat(filepath.Join(dir, cleanFile)); err != nil {
			unclean = true
		}
		return nil
	})
	return unclean, err
}

// placedByReceiving returns the blobs that Receivings have written down.
func (s *Store) placedByReceiving() (map[cid.CID]bool, error) {
	all := map[cid.CID]bool{}
	err := s.eachReceived(func(dir string, _ fs.FileInfo) error {
		_, err := readPlaced(dir, func(blob cid.CID) error {
			all[blob] = true
			return nil
		})
		return err
	})
	return all, err
}

// expireReceived removes what is too old and marks the rest: what no record tells of has been looked for.
// It runs alone, while the store is being opened.
func (s *Store) expireReceived() error {
	return s.eachReceived(func(dir string, info fs.FileInfo) error {
		_, err := cid.Parse(filepath.Base(dir))
		if age := time.Since(info.ModTime()); err != nil || age > receiveAge {
			s.log.Info("what was received of a tree is too old and removed", "path", dir, "age", age)
			return s.dropReceived(dir)
		}
		clean := filepath.Join(dir, cleanFile)
		if _, err := os.Lstat(clean); err == nil {
			return nil
		}
		if err := os.WriteFile(clean, nil, 0o644); err != nil { // such as on a full disk: then it is looked for again
			s.log.Warn("mark what was received", "path", dir, "error", err)
		}
		return os.Chtimes(dir, info.ModTime(), info.ModTime())
	})
}

// dropReceived removes the folder of a Receiving and the blobs it has made, but for those that are in the index.
func (s *Store) dropReceived(dir string) error {
	s.placeMu.Lock() // nobody is between naming and commit
	defer s.placeMu.Unlock()
	_, err := readPlaced(dir, func(blob cid.CID) error {
		known, err := s.has(blobKey(keyBlob, blob))
		if err != nil || known {
			return err
		}
		return removeIfThere(s.blobPath(blob))
	})
	if err != nil {
		return err
	}
	return s.removeReceived(dir)
}

func (s *Store) removeReceived(dir string) error {
	if err := s.step(StepRemove, dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
