package peers

import (
	"context"
	"strings"
	"sync"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

const (
	// maxRecords bounds the provider records of others that this node keeps for the DHT, and maxProviders those of one key.
	maxRecords, maxProviders = 1 << 18, 256
)

// A recordstore is a datastore in memory for the provider records of others, which are named /providers/KEY/PEER. A record that is one too
// many replaces a random other one, so that a peer that announces much displaces much, and not everything. Providers announce again.
// All methods may be called from many goroutines.
type recordstore struct {
	mu         sync.Mutex
	most, each int
	n          int
	keys       map[string]map[string][]byte // by the part of the name before the last slash, and the whole name
}

func newRecordstore() *recordstore {
	return &recordstore{most: maxRecords, each: maxProviders, keys: map[string]map[string][]byte{}}
}

func recordKey(name string) string { return name[:strings.LastIndexByte(name, '/')+1] }

// Put implements datastore.Datastore.
func (r *recordstore) Put(_ context.Context, k datastore.Key, value []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := k.String()
	key := recordKey(name)
	if _, ok := r.keys[key][name]; !ok {
		switch {
		case len(r.keys[key]) >= r.each:
			r.drop(key)
		case r.n >= r.most:
			for other := range r.keys { // maps begin anywhere
				r.drop(other)
				break
			}
		}
		r.n++
	}
	if r.keys[key] == nil {
		r.keys[key] = map[string][]byte{}
	}
	r.keys[key][name] = value
	return nil
}

// drop forgets one record of a key.
func (r *recordstore) drop(key string) {
	for name := range r.keys[key] {
		r.remove(key, name)
		return
	}
}

func (r *recordstore) remove(key, name string) {
	if _, ok := r.keys[key][name]; !ok {
		return
	}
	r.n--
	if delete(r.keys[key], name); len(r.keys[key]) == 0 {
		delete(r.keys, key)
	}
}

// Get implements datastore.Datastore.
func (r *recordstore) Get(_ context.Context, k datastore.Key) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := k.String()
	if v, ok := r.keys[recordKey(name)][name]; ok {
		return v, nil
	}
	return nil, datastore.ErrNotFound
}

// Has implements datastore.Datastore.
func (r *recordstore) Has(ctx context.Context, k datastore.Key) (bool, error) {
	_, err := r.Get(ctx, k)
	return err == nil, nil
}

// GetSize implements datastore.Datastore.
func (r *recordstore) GetSize(ctx context.Context, k datastore.Key) (int, error) {
	v, err := r.Get(ctx, k)
	return len(v), err
}

// Delete implements datastore.Datastore.
func (r *recordstore) Delete(_ context.Context, k datastore.Key) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(recordKey(k.String()), k.String())
	return nil
}

// Query implements datastore.Datastore. A query for one key costs as much as the key has records.
func (r *recordstore) Query(_ context.Context, q query.Query) (query.Results, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []query.Entry
	add := func(records map[string][]byte) {
		for name, v := range records {
			e := query.Entry{Key: name, Size: len(v)}
			if !q.KeysOnly {
				e.Value = v
			}
			list = append(list, e)
		}
	}
	if one, ok := r.keys[strings.TrimSuffix(q.Prefix, "/")+"/"]; ok {
		add(one)
	} else {
		for key, records := range r.keys {
			if strings.HasPrefix(key, q.Prefix) {
				add(records)
			}
		}
	}
	return query.NaiveQueryApply(q, query.ResultsWithEntries(q, list)), nil
}

// Batch implements datastore.Batching.
func (r *recordstore) Batch(context.Context) (datastore.Batch, error) {
	return datastore.NewBasicBatch(r), nil
}

// Sync implements datastore.Datastore.
func (r *recordstore) Sync(context.Context, datastore.Key) error { return nil }

// Close implements datastore.Datastore.
func (r *recordstore) Close() error { return nil }

// A nocache keeps nothing: a cache of the DHT beside the store would have no bound.
type nocache struct{}

func (nocache) Add(_, _ any) bool              { return false }
func (nocache) Get(any) (any, bool)            { return nil, false }
func (nocache) Contains(any) bool              { return false }
func (nocache) Peek(any) (any, bool)           { return nil, false }
func (nocache) Remove(any) bool                { return false }
func (nocache) RemoveOldest() (any, any, bool) { return nil, nil, false }
func (nocache) GetOldest() (any, any, bool)    { return nil, nil, false }
func (nocache) Keys() []any                    { return nil }
func (nocache) Len() int                       { return 0 }
func (nocache) Purge()                         {}
func (nocache) Resize(int) int                 { return 0 }
