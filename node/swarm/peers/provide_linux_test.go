package peers

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// usedCPU is the processor time of this process.
func usedCPU(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Ten thousand roots and their PIDs are announced by one of thirty nodes, which are all in this process: the processor time
// is that of the node that announces and of those that keep its records together.
func TestProvideMany(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("it takes a minute: NUKA_LONG=1 go test ./node/swarm/peers -run TestProvideMany")
	}
	const roots, most = 10_000, 40 * time.Second
	nodes, lists := several(t, 30)
	a := nodes[len(nodes)-1]
	until(t, "a routing table", func() bool { return a.Status().Table >= 10 })
	var list []routing.Announcement
	for _, id := range pids(roots) {
		list = append(list, routing.Announcement{PID: id, Root: cid.Sum(cid.Raw, id[:])})
	}
	until(t, "somebody to tell", a.discovery.Load().online.Load)
	provider := a.discovery.Load().provider
	quiet := usedCPU(t)
	time.Sleep(5 * time.Second)
	idle := (usedCPU(t) - quiet) / 5
	lists[len(nodes)-1].set(list...)
	before, begin := usedCPU(t), time.Now()
	if err := a.discovery.Load().update(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("it took %s until all were on their way: are they announced one by one?", d)
	}
	var keys, records int64
	for end := begin.Add(2 * time.Minute); keys < 2*roots; time.Sleep(time.Second) {
		s, err := provider.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		keys, records = s.Operations.Past.KeysProvided, s.Operations.Past.RecordsProvided
		if time.Now().After(end) {
			t.Fatalf("%d of %d keys after 2 minutes", keys, 2*roots)
		}
	}
	cpu, wall := usedCPU(t)-before, time.Since(begin)
	t.Logf("%d keys within %s: %s of processor time for all nodes (and %s a second before), %d records sent", keys, wall, cpu, idle, records)
	if cpu > most {
		t.Errorf("it took %s of processor time, want %s at most", cpu, most)
	}
	found := 0
	for i := 0; i < roots; i += roots / 50 {
		for info := range nodes[i%20].Lookup(t.Context(), protocol.ContentKey(list[i].Root), 1) {
			if info.Key == a.key {
				found++
			}
		}
	}
	if found < 50 {
		t.Errorf("%d of 50 are found", found)
	}
}
