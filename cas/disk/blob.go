package disk

import (
	"io"
	"os"
	"path/filepath"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/pir/cid"
)

// Empty is the blob of a file without bytes.
var Empty = cid.Sum(cid.Raw, nil)

// BlobOf returns the blob of the file with the root node n, which c names: the CID that the file has when it is not executable.
func BlobOf(c cid.CID, n *cid.Node) cid.CID {
	if !n.Exec {
		return c
	}
	if len(n.Links) == 0 {
		return Empty
	}
	if len(n.Links) == 1 && n.Links[0].CID.Codec() == cid.Raw {
		return n.Links[0].CID
	}
	plain := *n
	plain.Exec = false
	return cid.Sum(cid.DagPB, plain.Encode())
}

// hashLeaves hashes the leaves of a file.
func hashLeaves(f io.ReaderAt) (*cid.FileBuilder, error) {
	buf := GetBuffer()
	defer buf.Free()
	file := cid.NewFile(false)
	for offset := int64(0); ; {
		n, err := f.ReadAt(buf[:], offset)
		if err != nil && err != io.EOF {
			return nil, err
		}
		if n > 0 {
			file.AddLeaf(blake3.Sum256(buf[:n]), int64(n))
		}
		if err == io.EOF {
			return file, nil
		}
		offset += int64(n)
	}
}

// nameOf returns the name of a blob with the bytes of f.
func nameOf(f io.ReaderAt) (cid.CID, error) {
	file, err := hashLeaves(f)
	if err != nil {
		return cid.CID{}, err
	}
	blob, _, _, _ := file.Finish()
	return blob, nil
}

// ReadBlob hashes the blob at a path. ErrMismatch if it has another name.
func ReadBlob(path string, blob cid.CID) (*cid.FileBuilder, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	file, err := hashLeaves(f)
	if err != nil {
		return nil, err
	}
	if got, _, _, _ := file.Finish(); got != blob {
		return nil, ErrMismatch
	}
	return file, nil
}

// IsWhole hashes the blob of the store anew and says whether its bytes are those that its name promises.
func (d *Dir) IsWhole(blob cid.CID) (bool, error) {
	f, err := os.Open(d.Blob(blob))
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	got, err := nameOf(f)
	return err == nil && got == blob, nil
}

// IsWholeSlowly is IsWhole, but calls pace with the number of bytes after each read; an error of pace ends it.
func (d *Dir) IsWholeSlowly(blob cid.CID, pace func(n int) error) (bool, error) {
	f, err := os.Open(d.Blob(blob))
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	in := &paced{in: f, pace: pace}
	got, err := nameOf(in)
	if in.stopped != nil {
		return false, in.stopped
	}
	return err == nil && got == blob, nil
}

// paced calls pace after each read.
type paced struct {
	in      io.ReaderAt
	pace    func(n int) error
	stopped error
}

// ReadAt implements io.ReaderAt.
func (p *paced) ReadAt(b []byte, offset int64) (int, error) {
	n, err := p.in.ReadAt(b, offset)
	if p.stopped = p.pace(n); p.stopped != nil {
		return n, p.stopped
	}
	return n, err
}

// shardOf returns the folder of a blob below Blobs: the two characters before the last one, since all names begin and end alike.
func shardOf(name string) string { return name[len(name)-3 : len(name)-1] }

// Blob returns the path of a blob.
func (d *Dir) Blob(blob cid.CID) string {
	name := blob.String()
	return d.path + string(filepath.Separator) + Blobs + string(filepath.Separator) + shardOf(name) + string(filepath.Separator) + name
}

// EachBlob calls fn for each file that has the name of a blob. Files with other names are left alone.
func (d *Dir) EachBlob(fn func(blob cid.CID, path string) error) error {
	shards, err := os.ReadDir(d.Path(Blobs))
	if err != nil {
		return err
	}
	for _, shard := range shards {
		list, err := os.ReadDir(d.Path(Blobs, shard.Name()))
		if err != nil {
			return err
		}
		for _, e := range list {
			blob, err := cid.Parse(e.Name())
			if err != nil || shardOf(e.Name()) != shard.Name() || !e.Type().IsRegular() {
				continue
			}
			if err := fn(blob, d.Blob(blob)); err != nil {
				return err
			}
		}
	}
	return nil
}
