package peers

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/MordragT/nuka/protocol"
)

// What others announce takes a bounded place, whoever announces how much.
func TestRecordstore(t *testing.T) {
	ctx := t.Context()
	r := newRecordstore()
	r.most, r.each = 1000, 50
	name := func(key, peer int) datastore.Key {
		return datastore.NewKey(fmt.Sprintf("/providers/KEY%d/PEER%d", key, peer))
	}
	size := func(prefix string) int {
		t.Helper()
		found, err := r.Query(ctx, query.Query{Prefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		all, err := found.Rest()
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	for i := range 10 {
		if err := r.Put(ctx, name(1, i%5), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := r.Get(ctx, name(1, 4)); string(v) != "9" {
		t.Errorf("got %q, %v; want the newest", v, err)
	}
	if got := size("/providers/KEY1"); got != 5 {
		t.Errorf("got %d records of the key, want 5", got)
	}
	for i := range 1000 {
		if err := r.Put(ctx, name(1, i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := size("/providers/KEY1"); got != 50 {
		t.Errorf("got %d records of the key, want 50", got)
	}
	for i := range 5000 {
		if err := r.Put(ctx, name(i, i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := size("/providers/"); got != 1000 || r.n != 1000 {
		t.Errorf("got %d records, and %d are counted; want 1000", got, r.n)
	}
	found, err := r.Query(ctx, query.Query{Prefix: "/providers/", KeysOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	for e := range found.Next() {
		if err := r.Delete(ctx, datastore.RawKey(e.Key)); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.keys) != 0 || r.n != 0 {
		t.Errorf("%d keys and %d records are left", len(r.keys), r.n)
	}
}

// The DHT finds in it what it has put there, and remembers nothing beside.
func TestRecordsOfDHT(t *testing.T) {
	s := start(t, 1, nil)
	store := s.discovery.Load().dht.ProviderStore()
	if _, ok := store.(*records.ProviderManager); !ok {
		t.Fatalf("got a %T", store)
	}
	key := dhtKey(protocol.StatementsKey(pids(1)[0]))
	for n := range 4 * maxProviders {
		seed := ed25519.NewKeyFromSeed(binary.BigEndian.AppendUint64(make([]byte, 24), uint64(n)))
		id, err := idOf(protocol.KeyOf(seed))
		if err != nil {
			t.Fatal(err)
		}
		if err := store.AddProvider(t.Context(), key, peer.AddrInfo{ID: id}); err != nil {
			t.Fatal(err)
		}
		if n%50 == 0 { // what has been looked for would be remembered
			if _, err := store.GetProviders(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Some are written down later, all at once.
	if found, err := store.GetProviders(t.Context(), key); err != nil || len(found) < maxProviders || len(found) > maxProviders+256 {
		t.Errorf("got %d providers, %v; want %d", len(found), err, maxProviders)
	}
}
