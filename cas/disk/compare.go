package disk

import (
	"os"

	"github.com/MordragT/nuka/pir/cid"
)

// A stamp changes whenever the file system sees a file change.
type stamp struct {
	size, modified, changed int64
	inode                   uint64
}

func stampOf(f *os.File) (stamp, error) {
	info, err := f.Stat()
	if err != nil {
		return stamp{}, err
	}
	st := stamp{size: info.Size(), modified: info.ModTime().UnixNano()}
	st.addSystem(info)
	return st, nil
}

// OpenBlob opens a blob of a known size. The blob has been compared with its hash since the Dir was opened,
// and has not been changed since then as far as the file system tells.
// Damage tells which errors mean that the blob is damaged.
func (d *Dir) OpenBlob(blob cid.CID, size int64) (*os.File, error) {
	for range 3 {
		f, err := os.Open(d.Blob(blob))
		if err != nil {
			return nil, err
		}
		st, err := stampOf(f)
		if err == nil && d.isCompared(blob, st) {
			return f, nil
		}
		if err == nil {
			err = d.compare(f, blob, size)
		}
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			return nil, err
		}
		// Look again: another caller, which had another file open, may have done the comparing.
	}
	return nil, ErrMismatch
}

func (d *Dir) isCompared(blob cid.CID, st stamp) bool {
	d.comparedMu.Lock()
	defer d.comparedMu.Unlock()
	return d.compared[blob] == st
}

// Forget has the next OpenBlob compare a blob with its hash again.
func (d *Dir) Forget(blob cid.CID) {
	d.comparedMu.Lock()
	defer d.comparedMu.Unlock()
	delete(d.compared, blob)
}

// compare reads a blob and compares it with its hash. Callers that want the same blob share the work.
func (d *Dir) compare(f *os.File, blob cid.CID, size int64) error {
	_, err, _ := d.comparing.Do(blob.String(), func() (any, error) {
		st, err := stampOf(f)
		if err != nil {
			return nil, err
		}
		if d.isCompared(blob, st) {
			return nil, nil
		}
		if st.size != size {
			return nil, ErrMismatch
		}
		got, err := nameOf(f)
		if err != nil {
			return nil, err
		}
		if got != blob {
			return nil, ErrMismatch
		}
		d.comparedMu.Lock()
		d.compared[blob] = st
		d.comparedMu.Unlock()
		return nil, nil
	})
	return err
}
