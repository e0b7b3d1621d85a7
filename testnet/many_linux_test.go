package testnet

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestManyAtOnce lets all machines of a network fetch the same package at the same moment from one seeder: they must exchange parts of it.
func TestManyAtOnce(t *testing.T) {
	// The seeder's upload rate is that of a cable, as on a real network. A machine without that limit could serve
	// all of them before they have found each other.
	size, mib, up := 6, 24, 32<<20
	if os.Getenv("NUKA_LONG") != "" {
		size, mib, up = 20, 200, 120<<20
	}
	n := New(t, programs)
	first := n.Node(fmt.Sprintf("{up: %db}", up))
	dir, _ := bigPackage(t, first, mib<<20)
	pid := strings.Fields(first.Must(dir, "build", "./data.nu"))[0]
	key := first.Key()
	var nodes []*Node
	for range size - 1 {
		d := n.Node("{}")
		d.Must(dir, "trust", "add", key, "--yes")
		nodes = append(nodes, d)
	}
	for _, d := range append(nodes, first) {
		eventually(t, time.Minute, func() string {
			if peers := peersOf(t, d); len(peers) < size-1 {
				return fmt.Sprintf("node %d has found %d others", d.n, len(peers))
			}
			return ""
		})
	}
	before := sentBy(t, first)
	start := time.Now()
	var all sync.WaitGroup
	for _, d := range nodes {
		all.Go(func() {
			if r := d.Nuka(dir, "get", pid); r.Code != 0 {
				t.Errorf("node %d: %s\nits log:\n%s", d.n, r.Err, d.Log())
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	copies := float64(sentBy(t, first)-before) / float64(mib<<20)
	t.Logf("%d nodes got %d MiB in %s: %.2f copies from the first holder", size-1, mib, took, copies)
	if copies > 3 {
		t.Errorf("the first holder gave %.2f copies, want 3 at most", copies)
	}
	if copies < 1 {
		t.Errorf("the first holder gave %.2f copies: it was not counted right", copies)
	}
}

func peersOf(t *testing.T, d *Node) (peers []struct{ Sent, Received int64 }) {
	t.Helper()
	if err := json.Unmarshal([]byte(d.Must(d.Home, "peers", "--json")), &peers); err != nil {
		t.Fatal(err)
	}
	return peers
}

// sentBy returns how many bytes a node has sent to its peers.
func sentBy(t *testing.T, d *Node) (sum int64) {
	t.Helper()
	for _, p := range peersOf(t, d) {
		sum += p.Sent
	}
	return sum
}
