package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"

	"github.com/MordragT/nuka/internal/crclog"
	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// What is shared is found by a lookup, and what is not shared any more is withdrawn.
func TestAdvertise(t *testing.T) {
	hosts, lists := several(t, 4)
	a, b := hosts[3], hosts[1]
	until(t, "a routing table", func() bool { return a.Status().Table >= 2 && b.Status().Table >= 2 })
	id := pids(1)[0]
	root := cid.Sum(cid.Raw, id[:])
	lists[3].set(routing.Announcement{PID: id, Root: root})
	a.Advertise()
	until(t, "an announcement", func() bool {
		for found := range b.Lookup(t.Context(), protocol.ContentKey(root), 1) {
			return found.Key == a.key && len(found.Addresses) > 0
		}
		return false
	})
	kept := func(n int) func() bool {
		return func() bool {
			size, err := a.discovery.Load().keys.Size(t.Context())
			return err == nil && size == n
		}
	}
	until(t, "both keys", kept(2))
	lists[3].set(routing.Announcement{PID: id})
	a.Advertise()
	until(t, "an end of the announcement", kept(1))
}

func TestLogstore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	open := func() *logstore {
		l, err := openLogstore(path)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	ctx := t.Context()
	l := open()
	for i := range 100 {
		k := datastore.NewKey(fmt.Sprint("/a/", i%10))
		if err := l.Put(ctx, k, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
		if i%10 > 4 {
			if err := l.Delete(ctx, k); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l = open()
	results, err := l.Query(ctx, query.Query{Prefix: "/a"})
	if err != nil {
		t.Fatal(err)
	}
	all, err := results.Rest()
	if err != nil || len(all) != 5 {
		t.Errorf("got %v, %v; want 5 entries", all, err)
	}
	if v, err := l.Get(ctx, datastore.NewKey("/a/3")); string(v) != "93" {
		t.Errorf("got %q, %v; want 93", v, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// A record whose key the datastore would write in another way ends the log.
	odd := appendRecord(nil, datastore.NewKey("/a/1"), []byte("kept"), false)
	odd = crclog.Summed.Append(odd, crclog.Record{Key: []byte("a//2"), Value: []byte("odd")})
	odd = appendRecord(odd, datastore.NewKey("/a/3"), []byte("behind"), false)
	if err := os.WriteFile(path, odd, 0o600); err != nil {
		t.Fatal(err)
	}
	if l = open(); len(l.live) != 1 || !l.live[datastore.NewKey("/a/1")] {
		t.Errorf("got keys %v, want /a/1", l.live)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// Whatever is cut off or changed, it opens.
	for i := 0; i < len(whole); i += 17 {
		if err := os.WriteFile(path, whole[:i], 0o600); err != nil {
			t.Fatal(err)
		}
		open().Close()
		damaged := append([]byte{}, whole...)
		damaged[i] ^= 0x55
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		open().Close()
	}
}

func TestMDNSName(t *testing.T) {
	for prefix, want := range map[string]string{"/nuka": "_nuka._udp", "/nuka/mesh/ab12": "_nuka-mesh-ab12._udp"} {
		if got := mdnsName(prefix); got != want {
			t.Errorf("%s: got %s, want %s", prefix, got, want)
		}
	}
}
