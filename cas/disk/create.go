package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/pir/cid"
)

// Folders makes the folders of blobs and remembers which folders have new names in them. Its zero value is ready for use.
type Folders struct {
	mu   sync.Mutex
	made map[string]bool
}

// Note remembers the folder of a blob's path, which exists.
func (p *Folders) Note(blobPath string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made == nil {
		p.made = map[string]bool{}
	}
	p.made[filepath.Dir(blobPath)] = true
}

// Make makes the folder of a blob's path if it is missing, and remembers it.
func (p *Folders) Make(blobPath string) error {
	path := filepath.Dir(blobPath)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made[path] {
		return nil
	}
	if p.made == nil {
		p.made = map[string]bool{}
	}
	if err := os.Mkdir(path, 0o755); err == nil {
		p.made[filepath.Dir(path)] = true
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	p.made[path] = true
	return nil
}

func (p *Folders) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for path := range p.made {
		all = append(all, path)
	}
	slices.Sort(all)
	return all
}

// CreateBlob makes a file for a small blob under its final name, where nothing finds it before the index names it:
// renaming many small files takes as long as making them.
// If the name exists or somebody owns it, CreateBlob makes the file at the path that beside returns, and placed is false: a crashed or
// failed import may have left it. Otherwise the caller owns the name.
func (d *Dir) CreateBlob(blob cid.CID, folders *Folders, beside func() (string, error)) (f Plain, path string, placed bool, err error) {
	path = d.Blob(blob)
	if err := folders.Make(path); err != nil {
		return f, "", false, err
	}
	if err := d.Step(StepCreate, path); err != nil {
		return f, "", false, err
	}
	if d.Own(blob) {
		f, err = createPlain(path)
		if err == nil {
			return f, path, true, nil
		}
		d.Disown(blob)
		if !errors.Is(err, fs.ErrExist) {
			return f, path, false, err
		}
	}
	if path, err = beside(); err != nil {
		return f, "", false, err
	}
	if err := d.Step(StepCreate, path); err != nil {
		return f, "", false, err
	}
	f, err = createPlain(path)
	return f, path, false, err
}

// WriteAll writes all bytes of a new file and closes it.
func (d *Dir) WriteAll(f Plain, path string, data []byte) error {
	err := d.Step(StepWrite, path)
	if err == nil {
		_, err = f.Write(data)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// Rename gives a file the final name of a blob.
func (d *Dir) Rename(from string, blob cid.CID, folders *Folders) error {
	to := d.Blob(blob)
	if err := folders.Make(to); err != nil {
		return err
	}
	if err := d.Step(StepRename, to); err != nil {
		return err
	}
	return renameFile(from, to)
}

// Unplace deletes files that have the final names of blobs and will not be committed. The caller owns the names.
// Unplace spares a blob that the index has: another import has replaced the file by its own and committed it meanwhile.
func (d *Dir) Unplace(blobs []cid.CID, indexed func(cid.CID) (bool, error)) error {
	return d.Alone(func() error {
		var errs []error
		var paths []string
		for _, blob := range blobs {
			known, err := indexed(blob)
			if err != nil {
				errs = append(errs, err)
			} else if !known {
				paths = append(paths, d.Blob(blob))
			}
		}
		return errors.Join(append(errs, removeAll(paths))...)
	})
}

// removersTogether is how many files are removed at once. Each removal waits for the journal of the file system, mostly without work to do.
const removersTogether = 16

// removeAll removes files, if they are there. It removes the others if it cannot remove one.
func removeAll(paths []string) error {
	slices.Sort(paths) // one folder after the other
	var g errgroup.Group
	g.SetLimit(removersTogether)
	errs := make([]error, len(paths))
	const share = 32
	for at := 0; at < len(paths); at += share {
		g.Go(func() error {
			for i := at; i < min(at+share, len(paths)); i++ {
				errs[i] = RemoveIfThere(paths[i])
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	return errors.Join(errs...)
}

// SyncFiles makes the content of files durable.
func (d *Dir) SyncFiles(label string, paths []string) error {
	if err := d.Step(StepSync, label); err != nil {
		return err
	}
	return syncPaths(d.path, paths)
}

// SyncNames makes the names of new blobs durable.
func (d *Dir) SyncNames(folders *Folders) error {
	if err := d.Step(StepSyncDir, d.Path(Blobs)); err != nil {
		return err
	}
	return syncPaths(d.path, folders.list())
}
