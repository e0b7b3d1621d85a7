package cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/internal/crclog"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// rebuild makes the index from the journal and the blobs. It runs alone, while the store is being opened.
// The version is written last: a rebuild that is cut off is done again.
func (s *Store) rebuild(ctx context.Context, reason string) error {
	start := time.Now()
	numbers, err := journalNumbers(s.path(metaDir))
	if err != nil {
		return err
	}
	number := uint64(0)
	if len(numbers) > 0 {
		number = slices.Max(numbers)
		format, err := journalFormat(s.path(metaDir, journalName(number)))
		if err != nil {
			return err
		}
		if format != "" && format != formatVersion {
			return otherFormat(format)
		}
	}
	s.event(Rebuilding{Reason: reason})
	if s.journal != nil {
		s.journal.close() //nolint:errcheck // it was only read
		s.journal = nil
	}
	if s.db != nil {
		if err := s.db.Close(); err != nil {
			s.log.Warn("closing the old index", "error", err)
		}
		s.db = nil
	}
	index := s.path(indexDir)
	if list, err := s.o.IndexFS.List(index); err == nil && len(list) > 0 {
		old := s.path(quarantineDir, fmt.Sprintf("index-%d", start.UnixNano()))
		if err := s.o.IndexFS.MkdirAll(s.path(quarantineDir), 0o755); err != nil {
			return err
		}
		if err := s.o.IndexFS.Rename(index, old); err != nil {
			return err
		}
	}
	if err := s.openPebble(); err != nil {
		return err
	}
	if number > 0 {
		if err := s.replay(number); err != nil {
			return err
		}
	}
	progress, err := s.indexBlobs(ctx, start, reason)
	if err != nil {
		return err
	}
	if err := s.renewJournal(number + 1); err != nil {
		return err
	}
	c := s.change()
	c.set([]byte{keyVersion}, []byte(formatVersion))
	if err := s.commit(c, durable); err != nil {
		return err
	}
	if err := removeIfThere(s.path(damagedFile)); err != nil {
		return err
	}
	progress.Done, progress.Elapsed = true, time.Since(start)
	s.event(progress)
	return nil
}

// replay puts the records of a journal into the index, as far as they are whole.
func (s *Store) replay(number uint64) error {
	f, err := os.Open(s.path(metaDir, journalName(number)))
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
		s.log.Error("the journal has another format and is not used", "journal", f.Name())
		return nil
	}
	b := s.db.NewIndexedBatch()
	good, err := readJournal(f, int64(len(magic)), info.Size(), func(c crclog.Record) error {
		if err := checkRecord(c); err != nil {
			s.log.Error("a record of the journal is not used", "key", fmt.Sprintf("%x", c.Key), "error", err)
			return nil
		}
		if c.Key[0] == keyBound {
			// The way back follows from the binding.
			if old, err := s.getBatch(b.Get(c.Key)); err == nil {
				b.Delete(key(keyBinder, old, c.Key[1:]), nil) //nolint:errcheck // memory
			}
			if !c.Deleted {
				b.Set(key(keyBinder, c.Value, c.Key[1:]), nil, nil) //nolint:errcheck // memory
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
		s.log.Warn("the end of the journal is torn", "journal", f.Name(), "lost", info.Size()-good)
	}
	return b.Commit(nil)
}

func (s *Store) getBatch(v []byte, closer io.Closer, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	v = slices.Clone(v)
	return v, closer.Close()
}

// checkRecord says why a record is none of a journaled table, or returns nil.
func checkRecord(c crclog.Record) error {
	k, v := c.Key[1:], c.Value
	sized := func(n int) error {
		if len(k) != n {
			return errValue
		}
		return nil
	}
	if c.Deleted {
		return nil
	}
	switch c.Key[0] {
	case keyNode:
		if sized(32) != nil || cid.Sum(cid.DagPB, v).Digest() != [32]byte(k) {
			return errValue
		}
		_, err := cid.Decode(v)
		return err
	case keyPIR:
		canonical, _, err := decodePIR(v)
		if sized(32) != nil || err != nil || pir.Sum(canonical) != pir.PID(k) {
			return errValue
		}
		return nil
	case keyAtt:
		a, err := protocol.DecodeAttestation(v)
		if err == nil && string(attKey(a)) != string(c.Key) {
			err = errValue
		}
		return err
	case keyBound:
		_, err := cid.FromBytes(v)
		return errors.Join(sized(32), err)
	case keyRoot:
		_, err := decodeRoot(string(k), v)
		return err
	}
	return errValue
}

// indexBlobs reads every blob, sets damaged ones aside and indexes the others.
func (s *Store) indexBlobs(ctx context.Context, start time.Time, reason string) (Rebuilding, error) {
	progress := Rebuilding{Reason: reason}
	var mu sync.Mutex // guards progress and last
	last := start
	b := s.db.NewBatch()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(s.o.Workers, 1, defaultWorkers()))
	err := s.eachBlobFile(func(blob cid.CID, path string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		g.Go(func() error {
			file, err := readBlob(path, blob)
			reason, damaged := damage(err)
			if err != nil && !damaged {
				return fmt.Errorf("read blob %s: %w", blob, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if damaged {
				progress.Quarantined++
				to := s.path(quarantineDir, fmt.Sprintf("%s-%d", blob, time.Now().UnixNano()))
				if err := os.Rename(path, to); err != nil {
					return err
				}
				s.event(Quarantined{Blob: blob.String(), Path: to, Reason: reason})
				return b.Set(blobKey(keyDamaged, blob), nil, nil)
			}
			// Everything that follows from a blob; the journal is written later, from the index.
			c := &changes{b: b}
			_, size, nodes, leaves := file.Finish()
			c.set(blobKey(keyBlob, blob), encodeSize(size))
			placeFile(c, blob, leaves, nodes)
			progress.Blobs++
			progress.Bytes += size
			if time.Since(last) > time.Second {
				last = time.Now()
				s.event(progress)
			}
			if b.Len() < 4<<20 {
				return nil
			}
			if err := b.Commit(nil); err != nil {
				return err
			}
			b = s.db.NewBatch()
			return nil
		})
		return nil
	})
	if err := errors.Join(err, g.Wait()); err != nil {
		return progress, err
	}
	return progress, b.Commit(nil)
}

// readBlob hashes a blob and compares it with its name.
func readBlob(path string, blob cid.CID) (*cid.FileBuilder, error) {
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
		return nil, errMismatch
	}
	return file, nil
}
