package peers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"

	"github.com/MordragT/nuka/internal/crclog"
)

// rewriteAt is how many superseded records the log holds before it is written anew.
const rewriteAt = 1 << 14

// A logstore is a datastore for what this node announces: a map in memory, and a file to which each change is appended, for the next start.
// The last changes before a power cut may be lost: they are announced again.
// All methods may be called from many goroutines.
type logstore struct {
	mu      sync.Mutex
	m       *datastore.MapDatastore
	path    string
	f       *os.File // nil: in memory only
	live    map[datastore.Key]bool
	records int
}

// openLogstore reads the log and continues it; if path is "", nothing is kept.
// It reads up to the first record that is torn or damaged.
func openLogstore(path string) (*logstore, error) {
	l := &logstore{m: datastore.NewMapDatastore(), path: path, live: map[datastore.Key]bool{}}
	if path == "" {
		return l, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err == nil {
		crclog.Read(crclog.Summed, f, l.replay) //nolint:errcheck // the records read so far count
		err = f.Close()
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return l, l.rewrite()
}

// replay applies a record of the log. An error ends the reading of the log.
func (l *logstore) replay(r crclog.Record) error {
	key := datastore.NewKey(string(r.Key))
	if key.String() != string(r.Key) {
		return fmt.Errorf("key %q is not in its canonical form", r.Key)
	}
	return l.apply(key, r.Value)
}

func appendRecord(b []byte, key datastore.Key, value []byte, deleted bool) []byte {
	return crclog.Summed.Append(b, crclog.Record{Deleted: deleted, Key: []byte(key.String()), Value: value})
}

// apply makes a change in memory; a nil value deletes the key.
func (l *logstore) apply(key datastore.Key, value []byte) error {
	l.records++
	if value == nil {
		delete(l.live, key)
		return l.m.Delete(context.Background(), key)
	}
	l.live[key] = true
	return l.m.Put(context.Background(), key, value)
}

// rewrite replaces the log by one without superseded records.
func (l *logstore) rewrite() error {
	tmp := l.path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	var b []byte
	for key := range l.live {
		value, err := l.m.Get(context.Background(), key)
		if err != nil {
			return errors.Join(err, f.Close())
		}
		b = appendRecord(b[:0], key, value, false)
		if _, err := w.Write(b); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := errors.Join(w.Flush(), f.Sync()); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := os.Rename(tmp, l.path); err != nil {
		return errors.Join(err, f.Close())
	}
	old := l.f
	l.f, l.records = f, len(l.live)
	if old != nil {
		return old.Close()
	}
	return nil
}

// change makes a change and appends it to the log. l.mu is held.
func (l *logstore) change(key datastore.Key, value []byte, deleted bool) error {
	if !crclog.Summed.Fits(len(key.String()), len(value)) {
		return fmt.Errorf("keep %s: %d bytes are too many", key, len(value))
	}
	if deleted {
		value = nil
	} else if value == nil {
		value = []byte{}
	}
	if err := l.apply(key, value); err != nil || l.path == "" {
		return err
	}
	if l.f == nil {
		return fs.ErrClosed
	}
	if _, err := l.f.Write(appendRecord(nil, key, value, deleted)); err != nil {
		return fmt.Errorf("append to the log of announcements: %w", err)
	}
	if l.records-len(l.live) > rewriteAt {
		return l.rewrite()
	}
	return nil
}

func (l *logstore) Put(_ context.Context, key datastore.Key, value []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.change(key, value, false)
}

func (l *logstore) Delete(_ context.Context, key datastore.Key) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.live[key] {
		return nil
	}
	return l.change(key, nil, true)
}

func (l *logstore) Get(ctx context.Context, key datastore.Key) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m.Get(ctx, key)
}

func (l *logstore) Has(ctx context.Context, key datastore.Key) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m.Has(ctx, key)
}

func (l *logstore) GetSize(ctx context.Context, key datastore.Key) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m.GetSize(ctx, key)
}

func (l *logstore) Query(ctx context.Context, q query.Query) (query.Results, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m.Query(ctx, q) // it has read all when it returns
}

func (l *logstore) Sync(context.Context, datastore.Key) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	return l.f.Sync()
}

func (l *logstore) Batch(context.Context) (datastore.Batch, error) {
	return datastore.NewBasicBatch(l), nil
}

func (l *logstore) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	err := l.f.Close()
	l.f = nil
	return err
}
