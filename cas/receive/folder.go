package receive

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

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/pir/cid"
)

// The folder of a Receiving is tmp/receive/ROOT. It holds
//
//	nodes       the nodes received so far, each after its length, 4 bytes little endian; parents first
//	placed      the blobs that were made under their final names, in the binary form of CIDs
//	part-BLOB   a file of several leaves
//	leaf-BLOB   a small file whose final name was taken
//	clean       the Receiving was closed, so placed is complete
//
// A later Receiving compares everything in the folder with its hashes. So nothing needs a sync before Finish.
const (
	nodesFile  = "nodes"
	placedFile = "placed"
	cleanFile  = "clean"
	partPrefix = "part-"
	leafPrefix = "leaf-"

	// maxNodeBytes bounds the nodes of a tree that is received: they are committed together.
	maxNodeBytes = 1 << 30
)

// An appendFile is a file that grows. Closed is its zero value.
type appendFile struct {
	f   *os.File
	end int64
	buf []byte
}

// flush writes the buffered bytes.
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

// makeFolder makes the folder and its files, or opens existing ones. The caller holds mu.
func (r *Receiving) makeFolder() error {
	if r.made {
		return nil
	}
	if err := r.s.Dir.CheckSpace(); err != nil {
		return err
	}
	if err := r.s.Dir.Step(disk.StepCreate, r.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(r.dir, cleanFile)); err == nil {
		// If a power cut kept the mark, blobs that were named since would be left over for ever.
		if err := disk.SyncDir(r.dir); err != nil {
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

// closeFolder closes the files and marks the folder as complete, if there is one.
func (r *Receiving) closeFolder() error {
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
	if err := r.s.Dir.Step(disk.StepWrite, path); err != nil {
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

// node returns a node that was received or is in the store, compared with its hash, and its encoding.
// The caller holds mu, or holds life after planning.
func (r *Receiving) node(c cid.CID) (*cid.Node, []byte, error) {
	p, ok := r.nodes[c.Digest()]
	if !ok || p.offset < 0 {
		b, err := r.s.Blocks.NodeBytes(c)
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
		return nil, nil, fmt.Errorf("node %s that was received: %w", c, disk.ErrDamaged)
	}
	n, err := cid.Decode(b)
	return n, b, err
}

// load finds the blocks that an earlier Receiving has left and plans if no node is missing. The caller holds life.
func (r *Receiving) load(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := os.Lstat(r.dir); err == nil {
		r.found = true
		if err := r.makeFolder(); err != nil {
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

// replayNodes takes in the wanted nodes of the log, up to a torn end.
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
		// A node that is in the index by now, or below such a node, is no longer wanted. A torn one never was.
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
// A torn end is no error: no record is believed.
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
