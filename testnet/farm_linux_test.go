package testnet

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// long skips a test that takes minutes, unless such tests are enabled.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("it takes minutes: make test-long")
	}
}

// eventually retries until try returns "".
func eventually(t *testing.T, limit time.Duration, try func() string) {
	t.Helper()
	var failed string
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if failed = try(); failed == "" {
			return
		}
	}
	t.Fatalf("not within %s: %s", limit, failed)
}

// TestPartitionHeals lets two halves of a network build and sign while they cannot reach each other. After they can, each must learn of the other's work.
func TestPartitionHeals(t *testing.T) {
	n := New(t, programs)
	var nodes []*Node
	for range 4 {
		nodes = append(nodes, n.Node("{}"))
	}
	a, b, c, d := nodes[0], nodes[1], nodes[2], nodes[3]
	n.Cut(c, d)
	a.Must(packages, "share", "./app.nu", "--text", "left")
	c.Must(packages, "share", "./app.nu", "--text", "right")
	for _, x := range []*Node{b, d} {
		x.Must(packages, "trust", "add", a.Key(), "--yes")
		x.Must(packages, "trust", "add", c.Key(), "--yes")
	}
	received := func(x *Node, text string) string {
		r := x.Nuka(packages, "get", strings.Fields(x.Must(packages, "eval", "./app.nu", "--text", text))[0])
		if r.Code != 0 {
			return r.Err
		}
		return ""
	}
	for x, text := range map[*Node]string{b: "left", d: "right"} {
		eventually(t, 20*time.Second, func() string { return received(x, text) })
	}
	if received(b, "right") == "" || received(d, "left") == "" {
		t.Fatal("something got through where there is no way")
	}
	n.Heal()
	for x, text := range map[*Node]string{b: "right", d: "left"} {
		eventually(t, 90*time.Second, func() string { return received(x, text) })
		if out := x.Must(packages, "run", "./app.nu", "--text", text); out != "hello from "+text {
			t.Errorf("got %q", out)
		}
	}
}

// TestKilledWhileReceiving kills a machine while it receives; afterwards it must resume where it was.
func TestKilledWhileReceiving(t *testing.T) {
	n := New(t, programs)
	a, b := n.Node(`{up: 10mib}`), n.Node("{}")
	dir, ticket := bigPackage(t, a, 40<<20)
	b.Must(dir, "trust", "add", a.Key(), "--yes")
	begin := b.Traffic()
	var killed sync.WaitGroup
	killed.Go(func() {
		for came := begin; came-begin < 20<<20 && t.Context().Err() == nil; came = b.Traffic() {
			time.Sleep(50 * time.Millisecond)
		}
		b.Kill()
	})
	if r := b.Nuka(dir, "get", ticket); r.Code == 0 {
		t.Fatal("it was received before it could be killed")
	}
	killed.Wait()
	before := b.Traffic()
	b.Must(dir, "get", ticket)
	after := b.Traffic()
	if again := after - before; again > 30<<20 {
		t.Errorf("%d MiB were sent again", again>>20)
	}
	if out := b.Must(dir, "store", "verify", "--json"); !strings.Contains(out, `"problems": []`) {
		t.Errorf("got %s", out)
	}
}

// bigPackage builds a package of one file on a node, shares it, and returns a folder and the ticket.
func bigPackage(t *testing.T, a *Node, size int) (dir, ticket string) {
	t.Helper()
	dir = t.TempDir()
	big := make([]byte, size)
	if _, err := rand.NewChaCha8([32]byte{}).Read(big); err != nil { // so that all leaves differ
		t.Fatal(err)
	}
	write(t, dir, "data", string(big))
	write(t, dir, "data.nu", `export def main [] { derivation {name: data, src: (fetch path ./data), build: {|b| cp $b.src $"($b.out)/data" }} }`)
	pid := strings.Fields(a.Must(dir, "build", "./data.nu"))[0]
	return dir, a.Must(dir, "share", pid)
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestFarm has thirty nodes with one of them as the bootstrap peer. They find each other's work over the DHT; then a third of them dies.
func TestFarm(t *testing.T) {
	long(t)
	size := 30
	if n, err := strconv.Atoi(os.Getenv("NUKA_FARM")); err == nil {
		size = n // smaller, for debugging
	}
	n := New(t, programs)
	const config = `{listen: [/ip4/0.0.0.0/tcp/4717, /ip4/0.0.0.0/udp/4717/quic-v1], mdns: false, relay: false%s}`
	first := n.Node(fmt.Sprintf(config, ""))
	first.Must(packages, "daemon", "start")
	begin := fmt.Sprintf(`, bootstrap: ["/ip4/%s/tcp/4717/p2p/%s"]`, first.IP, peerOf(t, first))
	nodes := []*Node{first}
	for len(nodes) < size {
		d := n.Node(fmt.Sprintf(config, begin))
		d.Must(packages, "daemon", "start")
		nodes = append(nodes, d)
	}
	text := func(i int) string { return fmt.Sprint("app of node ", i) }
	pids := make([]string, size)
	for i, d := range nodes {
		start := time.Now()
		pids[i] = strings.Fields(d.Must(packages, "build", "./app.nu", "--text", text(i)))[0]
		d.Must(packages, "share", pids[i])
		if i == 0 {
			t.Logf("the first one built in %s", time.Since(start))
		}
	}
	time.Sleep(5 * time.Second) // announcements go on after the answer
	keys := make([]string, size)
	for i, d := range nodes {
		keys[i] = d.Key()
	}
	get := func(d *Node, i int) (time.Duration, string) {
		d.Must(packages, "trust", "add", keys[i], "--yes")
		r := d.Nuka(packages, "get", pids[i])
		if r.Code != 0 {
			return r.Took, fmt.Sprintf("node %d gets what node %d has: %s", d.n, i+1, r.Err)
		}
		return r.Took, ""
	}
	var took []time.Duration
	for i := range size {
		for _, by := range []int{(i + size/4) % size, (i + size/2 - 1) % size} {
			d, failed := get(nodes[by], i)
			if failed != "" {
				eventually(t, 30*time.Second, func() string { _, failed := get(nodes[by], i); return failed })
			}
			took = append(took, d)
			nodes[by].Must(packages, "share", pids[i])
		}
	}
	slices.Sort(took)
	t.Logf("found, decided and fetched: p50 %s, p90 %s, max %s", took[len(took)/2], took[len(took)*9/10], took[len(took)-1])

	// A third of the nodes dies. Packages that others also have are not lost: each package is on three nodes by now.
	for i := 0; i < size; i += 3 {
		if i > 0 { // the bootstrap peer stays, because new nodes need one
			nodes[i].Kill()
		}
	}
	d := n.Node(fmt.Sprintf(config, begin))
	for i := 3; i < size; i += 3 {
		eventually(t, 60*time.Second, func() string { _, failed := get(d, i); return failed })
	}
	if t.Failed() {
		t.Logf("its log:\n%s", d.Log())
	}
	t.Logf("a new node has got all %d packages of the dead", size/3-1)
}

func peerOf(t *testing.T, d *Node) string {
	t.Helper()
	var s struct{ Peer string }
	if err := json.Unmarshal([]byte(d.Must(d.Home, "key", "show", "--json")), &s); err != nil {
		t.Fatal(err)
	}
	return s.Peer
}

// TestHeldByAnother checks that a node that joined late finds a dead node's package at another node, which got it and shares it.
func TestHeldByAnother(t *testing.T) {
	n := New(t, programs)
	const config = `{listen: [/ip4/0.0.0.0/tcp/4717, /ip4/0.0.0.0/udp/4717/quic-v1], mdns: false, relay: false%s}`
	first := n.Node(fmt.Sprintf(config, ""))
	first.Must(packages, "daemon", "start")
	begin := fmt.Sprintf(`, bootstrap: ["/ip4/%s/tcp/4717/p2p/%s"]`, first.IP, peerOf(t, first))
	builder, holder := n.Node(fmt.Sprintf(config, begin)), n.Node(fmt.Sprintf(config, begin))
	pid := strings.Fields(builder.Must(packages, "build", "./app.nu"))[0]
	builder.Must(packages, "share", pid)
	key := builder.Key()
	holder.Must(packages, "trust", "add", key, "--yes")
	eventually(t, 20*time.Second, func() string { return failure(holder.Nuka(packages, "get", pid)) })
	holder.Must(packages, "share", pid)
	builder.Kill()
	late := n.Node(fmt.Sprintf(config, begin))
	late.Must(packages, "trust", "add", key, "--yes")
	eventually(t, 30*time.Second, func() string { return failure(late.Nuka(packages, "get", pid)) })
}

func failure(r Result) string {
	if r.Code == 0 {
		return ""
	}
	return r.Err
}
