package testnet

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
)

// The part of the home that nobody may learn of.
const secretPart, secretVersion = "quite-secret-part", "7.31.99"

// records writes a folder of OSV records about n packages, among them the secret one. The record of the package p7 says that a version is fixed.
func records(t *testing.T, n int, fixed string) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		name, version := fmt.Sprintf("p%d", i), "1.0.0"
		if i == 7 {
			version = fixed
		}
		if i == 8 {
			name, version = secretPart, "8.0.0"
		}
		text := fmt.Sprintf(`{"id":"X-%d","affected":[{"package":{"ecosystem":"npm","name":%q},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":%q}]}]}]}`, i, name, version)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.json", i)), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// home returns a folder with a package that has the secret part.
func homeWithPart(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`export def main [] { derivation {name: app, version: "1", parts: [{ecosystem: npm, name: %s, version: %q}], build: {|b| "app" | save $"($b.out)/app" }} }`, secretPart, secretVersion)
	if err := os.WriteFile(filepath.Join(dir, "app.nu"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// updated is what subscribe and update --json print of one feed.
type updated struct {
	Number       int64
	News         bool
	Files, Got   int
	Bytes, bytes int64
}

func readUpdated(t *testing.T, d *Node, args ...string) updated {
	t.Helper()
	before := d.Traffic()
	out := d.Must(d.Home, append(args, "--json")...)
	var list []updated
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
		t.Fatalf("%v: %v in %q", args, err, out)
	}
	list[0].bytes = d.Traffic() - before
	return list[0]
}

// refused runs a command that must fail with a code and say something.
func refused(t *testing.T, d *Node, code int, say string, args ...string) {
	t.Helper()
	if r := d.Nuka(d.Home, args...); r.Code != code || !strings.Contains(r.Err, say) {
		t.Errorf("node %d: %v: exit %d, %s; want %d and %q", d.n, args, r.Code, r.Err, code, say)
	}
}

// feedNet is for nodes that find each other by tickets and multicast DNS only.
const feedNet = `{listen: [/ip4/0.0.0.0/tcp/0]}`

// TestFeed lets a feed travel over the swarm: from its publisher by ticket, in steps that move only what changed, then from a follower to another node by the key alone while
// the publisher is away; and heads that lie.
func TestFeed(t *testing.T) {
	n := New(t, programs)
	a, b, c := n.Node(feedNet), n.Node(feedNet), n.Node(feedNet)
	feed := filepath.Join(t.TempDir(), "feed")
	a.Must(a.Home, "advisories", "make", records(t, 2000, "1.0.1"), feed, "--name", "mine")
	old := filepath.Join(t.TempDir(), "old")
	if err := os.CopyFS(old, os.DirFS(feed)); err != nil {
		t.Fatal(err)
	}
	ticket := a.Must(a.Home, "advisories", "publish", feed)
	first := readUpdated(t, b, "advisories", "subscribe", ticket)
	if first.Number != 1 || !first.News || first.Got != first.Files || first.Files < 200 {
		t.Errorf("subscribe: got %+v", first)
	}
	if s := readUpdated(t, b, "advisories", "update"); s.News || s.Number != 1 {
		t.Errorf("an update without news: got %+v", s)
	} else {
		t.Logf("nothing new: %d bytes on the wire, with all that the swarm says besides", s.bytes)
	}

	// One record changes: the manifest and a shard travel. The head comes as a hint.
	a.Must(a.Home, "advisories", "make", records(t, 2000, "1.0.2"), feed)
	a.Must(a.Home, "advisories", "publish", feed)
	eventually(t, 10*time.Second, func() string {
		kept, _ := filepath.Glob(filepath.Join(b.Home, "swarm", "published", "*"))
		if len(kept) == 1 {
			if text, _ := os.ReadFile(kept[0]); bytes.Contains(text, []byte(`number\":2`)) {
				return ""
			}
		}
		return fmt.Sprintf("no head came by itself: %v", kept)
	})
	second := readUpdated(t, b, "advisories", "update")
	if second.Number != 2 || !second.News || second.Got != 2 {
		t.Errorf("the second number: got %+v, want two files", second)
	}
	t.Logf("%d files: %d bytes on the wire for number 1, %d for number 2 (files: %d and %d bytes)", first.Files, first.bytes, second.bytes, first.Bytes, second.Bytes)
	if second.bytes > first.bytes/3 {
		t.Errorf("number 2 moved %d bytes, number 1 %d: unchanged shards travel", second.bytes, first.bytes)
	}

	// The publisher is away. Another node follows the key alone, and gets everything from the follower.
	key := a.Must(a.Home, "advisories", "key")
	a.Must(a.Home, "daemon", "stop")
	third := readUpdated(t, c, "advisories", "subscribe", key+"/mine", "--name", "mine")
	if third.Number != 2 || third.Got != third.Files {
		t.Errorf("from a follower: got %+v", third)
	}

	// Rollback: a mirror has the old state only. What was seen does not go back, and it is said.
	m := n.Node(feedNet)
	b.Must(b.Home, "daemon", "stop")
	c.Must(c.Home, "daemon", "stop")
	mirror := m.Must(m.Home, "advisories", "publish", old)
	b.Must(b.Home, "swarm", "connect", mirror)
	if r := b.Nuka(b.Home, "advisories", "update"); r.Code != 0 || !strings.Contains(r.Err, "the newest head that a peer offers has the number 1, and this node knows number 2") {
		t.Errorf("an old state: exit %d, %s", r.Code, r.Err)
	}
	b.Must(b.Home, "daemon", "stop")
	if err := os.RemoveAll(filepath.Join(b.Home, "swarm", "published")); err != nil {
		t.Fatal(err)
	}
	b.Must(b.Home, "swarm", "connect", mirror)
	refused(t, b, 8, "its head goes back, from number 2 to 1", "advisories", "update")
	if out := b.Must(b.Home, "advisories", "feeds", "--json"); !strings.Contains(out, `"number": 2`) || !strings.Contains(out, `"evidence"`) {
		t.Errorf("after the rollback:\n%s", out)
	}
	m.Must(m.Home, "daemon", "stop")
	refused(t, b, 5, "no peer has a head of it", "advisories", "update")

	// Mix: files of one number with the head of another are not published, and would have another CID for a reader.
	mixed := filepath.Join(t.TempDir(), "mixed")
	if err := os.CopyFS(mixed, os.DirFS(old)); err != nil {
		t.Fatal(err)
	}
	heads, err := os.ReadFile(filepath.Join(feed, "feed.heads"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mixed, "feed.heads"), heads, 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, m, 6, "no head of feed.heads is of the files beside it", "advisories", "publish", mixed)

	// Fast-forward: a number that jumps is refused, and does not end the feed.
	b.Must(b.Home, "swarm", "connect", a.Must(a.Home, "advisories", "publish", feed))
	saved, err := os.ReadFile(filepath.Join(feed, "feed.heads"))
	if err != nil {
		t.Fatal(err)
	}
	a.Must(a.Home, "advisories", "make", records(t, 2000, "1.0.3"), feed, "--number", "5000000")
	a.Must(a.Home, "advisories", "publish", feed)
	if r := b.Nuka(b.Home, "advisories", "update"); r.Code != 0 || strings.Contains(r.Err, "5000000") {
		t.Errorf("a jump beside the head in use: exit %d, %s", r.Code, r.Err)
	}
	if out := b.Must(b.Home, "advisories", "feeds", "--json"); !strings.Contains(out, `"number": 2`) || !strings.Contains(out, `5000000`) {
		t.Errorf("after the jump:\n%s", out)
	}
	if err := os.WriteFile(filepath.Join(feed, "feed.heads"), saved, 0o644); err != nil {
		t.Fatal(err)
	}
	a.Must(a.Home, "advisories", "make", records(t, 2000, "1.0.3"), feed)
	a.Must(a.Home, "advisories", "publish", feed)
	if s := readUpdated(t, b, "advisories", "update"); s.Number != 3 {
		t.Errorf("the number after the jump: got %+v", s)
	}
}

// TestFeedSigners needs two of three signers, each of whom publishes from a node of their own, and lets a feed expire.
func TestFeedSigners(t *testing.T) {
	n := New(t, programs)
	reader := n.Node(feedNet)
	var nodes []*Node
	var keys []string
	for range 3 {
		d := n.Node(feedNet)
		nodes, keys = append(nodes, d), append(keys, d.Must(d.Home, "advisories", "key"))
	}
	publish := func(d *Node, fixed string) string {
		t.Helper()
		feed := filepath.Join(d.Home, "feed")
		d.Must(d.Home, "advisories", "make", records(t, 300, fixed), feed, "--name", "ours")
		return d.Must(d.Home, "advisories", "publish", feed)
	}
	ticket := publish(nodes[0], "1.0.1")
	subscribe := []string{"advisories", "subscribe", ticket, "--need", "2", "--key", keys[0], "--key", keys[1], "--key", keys[2]}
	refused(t, reader, 4, "1 of its 3 keys signed one state, and 2 are needed", subscribe...)
	publish(nodes[1], "1.0.9") // another state
	reader.Must(reader.Home, "swarm", "connect", ticketOf(t, nodes[1]))
	refused(t, reader, 4, "2 are needed", subscribe...)
	publish(nodes[2], "1.0.1")
	reader.Must(reader.Home, "swarm", "connect", ticketOf(t, nodes[2]))
	if s := readUpdated(t, reader, subscribe...); s.Number != 1 || !s.News {
		t.Errorf("two of three: got %+v", s)
	}

	// Freeze: the head of another feed expires, and nobody has a newer one.
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))
	feed := filepath.Join(nodes[0].Home, "feed")
	old, err := os.ReadFile(filepath.Join(feed, "feed.heads"))
	if err != nil {
		t.Fatal(err)
	}
	was, err := protocol.DecodeFeedHead(bytes.TrimSpace(old))
	if err != nil {
		t.Fatal(err)
	}
	h := &protocol.FeedHead{Name: "frozen", Number: 1, Root: was.Root, Issued: time.Now().Add(-protocol.MaxFeedLifetime + 8*time.Second), Expires: time.Now().Add(8 * time.Second)}
	if err := h.Sign(private); err != nil {
		t.Fatal(err)
	}
	text, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(feed, "feed.heads"), append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	frozen := nodes[0].Must(nodes[0].Home, "advisories", "publish", feed)
	reader.Must(reader.Home, "advisories", "subscribe", frozen)
	app := homeWithPart(t)
	reader.Must(app, "install", "./app.nu")
	time.Sleep(time.Until(h.Expires.Add(time.Second)))
	refused(t, reader, 5, "its head expired", "advisories", "update", "frozen")
	refused(t, reader, 2, "STALE", "audit")
}

// TestPrivacy captures what a home sends while it subscribes, updates and audits: nothing depends on what the home has, and no packet names it.
func TestPrivacy(t *testing.T) {
	n := New(t, programs)
	a, b, c := n.Node(feedNet), n.Node(feedNet), n.Node(feedNet)
	feed := filepath.Join(t.TempDir(), "feed")
	a.Must(a.Home, "advisories", "make", records(t, 500, "1.0.1"), feed, "--name", "mine")
	key := a.Must(a.Home, "advisories", "key")
	app := homeWithPart(t)
	b.Must(app, "install", "./app.nu")

	// Without encryption, from a server of files: the home with the part asks for the same files as the one without.
	var mu sync.Mutex
	asked := map[string][]string{}
	l := a.Listen()
	files := http.FileServerFS(os.DirFS(feed))
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		who, _, _ := strings.Cut(r.RemoteAddr, ":")
		asked[who] = append(asked[who], r.Method+" "+r.URL.String())
		mu.Unlock()
		files.ServeHTTP(w, r)
	})}
	go server.Serve(l) //nolint:errcheck // it ends with Close
	defer server.Close()
	stop := b.Capture()
	for _, d := range []*Node{b, c} {
		if r := d.Nuka(d.Home, "advisories", "subscribe", "http://"+l.Addr().String(), "--name", "web", "--key", key); r.Code != 0 {
			t.Fatalf("subscribe: exit %d, %s", r.Code, r.Err)
		}
		d.Must(d.Home, "advisories", "update")
	}
	// In the swarm.
	ticket := a.Must(a.Home, "advisories", "publish", feed)
	readUpdated(t, b, "advisories", "subscribe", ticket)
	b.Must(b.Home, "advisories", "update", "mine")
	refused(t, b, 1, "", "audit")
	packets := stop()
	mu.Lock()
	defer mu.Unlock()
	for _, list := range asked {
		slices.Sort(list)
	}
	if len(asked[b.IP]) < 100 || !slices.Equal(asked[b.IP], asked[c.IP]) {
		t.Errorf("the home with the part asked for %d files, the one without for %d, or for others:\n%s", len(asked[b.IP]), len(asked[c.IP]), cmp.Diff(asked[c.IP], asked[b.IP]))
	}
	sent, total, plain := 0, 0, false
	for _, p := range packets {
		total += len(p)
		plain = plain || bytes.Contains(p, []byte("GET /feed.heads"))
		for _, name := range []string{secretPart, secretVersion, "app.nu"} {
			if bytes.Contains(p, []byte(name)) {
				sent++
			}
		}
	}
	if !plain || total < 100_000 {
		t.Errorf("the capture has %d packets of %d bytes, and not even the requests to the server of files", len(packets), total)
	}
	if sent > 0 {
		t.Errorf("%d packets name what the home has", sent)
	}
	t.Logf("%d packets of %d bytes", len(packets), total)

	// An audit finds the same, and as quickly, without a network.
	n.Cut(b)
	if r := b.Nuka(b.Home, "audit"); r.Code != 1 || !strings.Contains(r.Out, secretPart) {
		t.Errorf("audit without a network: exit %d, %s%s", r.Code, r.Out, r.Err)
	}
}
