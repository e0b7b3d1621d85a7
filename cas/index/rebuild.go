package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/internal/crclog"
	"github.com/MordragT/nuka/pir/cid"
)

// rebuild makes the index from the journal and the blobs. It runs alone, while the store is being opened.
// The version is written last: a rebuild that was cut off is done again.
func (x *Index) rebuild(ctx context.Context, reason string) error {
	start := time.Now()
	numbers, err := journalNumbers(x.dir.Path(disk.Meta))
	if err != nil {
		return err
	}
	number := uint64(0)
	if len(numbers) > 0 {
		number = slices.Max(numbers)
		format, err := journalFormat(x.dir.Path(disk.Meta, journalName(number)))
		if err != nil {
			return err
		}
		if format != "" && format != formatVersion {
			return otherFormat(format)
		}
	}
	x.events.Rebuilding(Progress{Reason: reason})
	if x.journal != nil {
		x.journal.close() //nolint:errcheck // it was only read
		x.journal = nil
	}
	if x.db != nil {
		if err := x.db.Close(); err != nil {
			x.log.Warn("closing the old index", "error", err)
		}
		x.db = nil
	}
	index := x.dir.Path(disk.Index)
	if list, err := x.o.FS.List(index); err == nil && len(list) > 0 {
		old := x.dir.Quarantined("index")
		if err := x.o.FS.MkdirAll(filepath.Dir(old), 0o755); err != nil {
			return err
		}
		if err := x.o.FS.Rename(index, old); err != nil {
			return err
		}
	}
	if err := x.openPebble(); err != nil {
		return err
	}
	if number > 0 {
		if err := x.replay(number); err != nil {
			return err
		}
	}
	progress, err := x.indexBlobs(ctx, start, reason)
	if err != nil {
		return err
	}
	if err := x.renewJournal(number + 1); err != nil {
		return err
	}
	if err := x.commitVersion(); err != nil {
		return err
	}
	if err := disk.RemoveIfThere(x.dir.Path(disk.IndexDamaged)); err != nil {
		return err
	}
	progress.Done, progress.Elapsed = true, time.Since(start)
	x.events.Rebuilding(progress)
	return nil
}

// replay puts the records of a journal into the index, up to the first one that is torn.
func (x *Index) replay(number uint64) error {
	f, err := os.Open(x.dir.Path(disk.Meta, journalName(number)))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	magic := make([]byte, len(journalMagic))
	if _, err := f.ReadAt(magic, 0); err != nil || string(magic) != journalMagic {
		x.log.Error("the journal has another format and is not used", "journal", f.Name())
		return nil
	}
	b := x.db.NewIndexedBatch()
	good, err := readJournal(f, int64(len(magic)), info.Size(), func(c crclog.Record) error {
		if err := checkRecord(c); err != nil {
			x.log.Error("a record of the journal is not used", "key", fmt.Sprintf("%x", c.Key), "error", err)
			return nil
		}
		if Table(c.Key[0]) == Bindings {
			// The way back follows from the binding.
			if old, err := cloned(b.Get(c.Key)); err == nil {
				b.Delete(Binders.Key(old, c.Key[1:]), nil) //nolint:errcheck // memory
			}
			if !c.Deleted {
				b.Set(Binders.Key(c.Value, c.Key[1:]), nil, nil) //nolint:errcheck // memory
			}
		}
		if c.Deleted {
			return b.Delete(c.Key, nil)
		}
		return b.Set(c.Key, c.Value, nil)
	})
	if err != nil && !errors.Is(err, crclog.ErrTorn) {
		return err
	}
	if good < info.Size() {
		x.log.Warn("the end of the journal is torn", "journal", f.Name(), "lost", info.Size()-good)
	}
	return b.Commit(nil)
}

// cloned copies a value of pebble.
func cloned(v []byte, closer io.Closer, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	v = slices.Clone(v)
	return v, closer.Close()
}

// indexBlobs reads every blob, sets damaged ones aside and indexes the others.
func (x *Index) indexBlobs(ctx context.Context, start time.Time, reason string) (Progress, error) {
	progress := Progress{Reason: reason}
	var mu sync.Mutex // guards progress and last
	last := start
	b := x.db.NewBatch()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(x.readers)
	err := x.dir.EachBlob(func(blob cid.CID, path string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		g.Go(func() error {
			file, err := disk.ReadBlob(path, blob)
			reason, damaged := disk.Damage(err)
			if err != nil && !damaged {
				return fmt.Errorf("read blob %s: %w", blob, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if damaged {
				progress.Quarantined++
				to := x.dir.Quarantined(blob.String())
				if err := os.Rename(path, to); err != nil {
					return err
				}
				x.events.Quarantined(blob, to, reason)
				return b.Set(DamagedKey(blob), nil, nil)
			}
			// All records that follow from a blob; the journal is written later, from the index.
			c := &Changes{x: x, b: b}
			_, size, nodes, leaves := file.Finish()
			c.Set(BlobKey(blob), EncodeSize(size))
			c.SetFile(blob, leaves, nodes)
			progress.Blobs++
			progress.Bytes += size
			if time.Since(last) > time.Second {
				last = time.Now()
				x.events.Rebuilding(progress)
			}
			if b.Len() < 4<<20 {
				return nil
			}
			if err := b.Commit(nil); err != nil {
				return err
			}
			b = x.db.NewBatch()
			return nil
		})
		return nil
	})
	if err := errors.Join(err, g.Wait()); err != nil {
		return progress, err
	}
	return progress, b.Commit(nil)
}
