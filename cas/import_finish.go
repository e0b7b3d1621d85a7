package cas

import (
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir/cid"
)

// unplace removes the files that a failed import has made under final names.
func (im *importing) unplace() {
	s := im.s
	if err := s.dir.Unplace(im.placed(), s.blocks.Indexed); err != nil {
		im.failed.Store(true)
		s.log.Warn("files are left over until the store is opened again", "error", err)
	}
}

// placed returns the blobs that were made under their final names, which the import owns.
func (im *importing) placed() (blobs []cid.CID) {
	for _, w := range im.workers {
		for _, b := range w.blobs {
			if b.placed {
				blobs = append(blobs, b.name)
			}
		}
	}
	return blobs
}

// disown gives up the final names, at the end of the import.
func (im *importing) disown() { im.s.dir.Disown(im.placed()...) }

// small makes the blob of a small file.
func (im *importing) small(w *importWorker, blob cid.CID, content []byte) error {
	d := im.s.dir
	f, path, placed, err := d.CreateBlob(blob, &im.folders, func() (string, error) { return w.next(), nil })
	if err != nil {
		return err
	}
	w.blobs = append(w.blobs, newBlob{path, blob, placed})
	return d.WriteAll(f, path, content)
}

// finish makes the import durable and visible: sync, name, sync, commit.
func (im *importing) finish() error {
	var blobs []newBlob
	for _, w := range im.workers {
		blobs = append(blobs, w.blobs...)
	}
	if len(blobs) == 0 && im.changes.Empty() {
		return nil
	}
	// The bytes written so far count against the space that must stay free for the index.
	if err := im.s.dir.CheckSpace(); err != nil {
		return err
	}
	return im.s.dir.Naming(func() error {
		if len(blobs) > 0 {
			if err := im.name(blobs); err != nil {
				return err
			}
		}
		if err := im.s.index.Commit(im.changes, index.Durable); err != nil {
			im.failed.Store(true)
			return err
		}
		im.room.Keep()
		return nil
	})
}

// name makes the bytes of blobs durable, gives them their final names and makes those durable.
func (im *importing) name(blobs []newBlob) error {
	d := im.s.dir
	paths := make([]string, len(blobs))
	for i, b := range blobs {
		paths[i] = b.path
	}
	if err := d.SyncFiles(im.dir, paths); err != nil {
		return err
	}
	// From here on blobs have names that no commit may ever know: the next Open must look for them.
	for _, b := range blobs {
		if b.placed {
			continue
		}
		if err := d.Rename(b.path, b.name, &im.folders); err != nil {
			im.failed.Store(true)
			return err
		}
	}
	if err := d.SyncNames(&im.folders); err != nil {
		im.failed.Store(true)
		return err
	}
	return nil
}
