package testnet

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/swarm"
	"github.com/MordragT/nuka/node/swarm/fetch"
	"github.com/MordragT/nuka/node/swarm/peers"
	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// liarEnv names a home. If it is set, this program serves the home's store with every leaf changed, instead of running tests.
const liarEnv = "NUKA_TESTNET_LIAR"

// A liar is a swarm.System that answers from another node's store, so all its signatures are genuine, and everything passes that
// can be checked without the files. The bytes of the files are wrong.
type liar struct{ store *cas.Store }

func (l *liar) Block(ctx context.Context, c cid.CID, _ routing.Requester) ([]byte, error) {
	b, err := l.store.Block(ctx, c)
	if err == nil && c.Codec() == cid.Raw && len(b) > 0 {
		b = append([]byte{}, b...)
		b[len(b)/2] ^= 1
	}
	return b, err
}

func (l *liar) Statements(_ context.Context, ids []pir.PID, _ routing.Requester) ([][]byte, error) {
	var said [][]byte
	for _, id := range ids {
		for a, err := range l.store.Attestations(id) {
			if err != nil {
				return nil, err
			}
			text, err := a.Encode()
			if err != nil {
				return nil, err
			}
			said = append(said, text)
		}
	}
	return said, nil
}

func (l *liar) PIR(_ context.Context, id pir.PID, _ routing.Requester) ([]byte, error) {
	canonical, _, err := l.store.PIR(id)
	return canonical, err
}

func (l *liar) Heads(context.Context, []protocol.Key) ([][]byte, error)     { return nil, nil }
func (l *liar) Published(context.Context, []protocol.Key) ([][]byte, error) { return nil, nil }

func (l *liar) LearnPublished(context.Context, []byte) error { return nil }

func (l *liar) Learn(context.Context, []byte) error { return nil }

func (l *liar) Receive(context.Context, cid.CID, int64) (fetch.Receiver, error) {
	return nil, cas.ErrNotFound
}

func (l *liar) Shared(context.Context) iter.Seq2[routing.Announcement, error] {
	return func(yield func(routing.Announcement, error) bool) {
		for b, err := range l.store.Bindings() {
			if !yield(routing.Announcement{PID: b.PID, Root: b.CID}, err) {
				return
			}
		}
	}
}

// lieForever runs this program as a liar. It prints its address on standard output, and runs until it is killed.
func lieForever(home, ip string, seed byte) error {
	store, err := cas.Open(protocol.Home{Data: home}.Store(), nil)
	if err != nil {
		return err
	}
	key := ed25519.NewKeyFromSeed(append(make([]byte, ed25519.SeedSize-1), seed))
	s, err := swarm.New(&swarm.Options{System: &liar{store}, Options: peers.Options{Key: key, Listen: []string{"/ip4/" + ip + "/tcp/4717"}}})
	if err != nil {
		return err
	}
	fmt.Printf("/ip4/%s/tcp/4717/p2p/%s\n", ip, s.ID())
	return s.Run(context.Background())
}

// liar starts a liar on a machine that runs nothing else, and returns the liar's address. The liar serves a folder that is like the home
// of another node. It ends with the machine.
func (d *Node) liar(t *testing.T, home string, seed byte) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("ip", "netns", "exec", d.namespace(), self)
	c.Env = append(os.Environ(), liarEnv+"="+home, liarEnv+"_IP="+d.IP, fmt.Sprintf("%s_SEED=%d", liarEnv, seed))
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Kill(); _ = c.Wait() })
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address)
}

// TestEclipse is case 7: all bootstrap peers of a node are hostile. They send genuine attestations, find only each other in the DHT, and
// send wrong bytes. A new node must not get the package, must say so, and must keep nothing of it. A node that ran before the attack
// connects to peers that were useful then, and gets the package.
func TestEclipse(t *testing.T) {
	n := New(t, programs)
	const config = `{listen: [/ip4/0.0.0.0/tcp/4717, /ip4/0.0.0.0/udp/4717/quic-v1], mdns: false, relay: false, bootstrap: [%s]}`
	a := n.Node(fmt.Sprintf(config, ""))
	first := strings.Fields(a.Must(packages, "build", "./app.nu", "--text", "first"))[0]
	a.Must(packages, "share", first)
	built := strings.Fields(a.Must(packages, "build", "./app.nu", "--text", "second"))
	pid, root := built[0], built[1]
	a.Must(packages, "share", pid)

	before := n.Node(fmt.Sprintf(config, fmt.Sprintf(`"/ip4/%s/tcp/4717/p2p/%s"`, a.IP, peerOf(t, a))))
	before.Must(packages, "trust", "add", a.Key(), "--yes")
	eventually(t, 20*time.Second, func() string { return failure(before.Nuka(packages, "get", first)) })
	before.Must(packages, "daemon", "stop")

	a.Must(packages, "daemon", "stop")
	var liars []string
	for i := range 5 {
		d := n.Node("{}")
		if err := os.CopyFS(protocol.Home{Data: d.Home}.Store(), os.DirFS(protocol.Home{Data: a.Home}.Store())); err != nil {
			t.Fatal(err)
		}
		liars = append(liars, `"`+d.liar(t, d.Home, byte(i+1))+`"`)
	}
	hostile := fmt.Sprintf(config, strings.Join(liars, ", "))

	fresh := n.Node(hostile)
	fresh.Must(packages, "trust", "add", a.Key(), "--yes")
	r := fresh.Nuka(packages, "get", pid)
	if r.Code == 0 || !strings.Contains(r.Err, root) && !strings.Contains(r.Err, pid) {
		t.Errorf("a new node: exit %d, %s; want an error that names the content", r.Code, r.Err)
	}
	if !strings.Contains(fresh.Log(), "a peer gave wrong bytes") {
		t.Errorf("nobody lied to it:\n%s", fresh.Log())
	}
	t.Logf("a new node: exit %d after %s: %s", r.Code, r.Took, r.Err)
	// It may have received the PIR, which is checked against the PID, but must not have received the content.
	if r := fresh.Nuka(packages, "show", pid); r.Code == 0 && !strings.Contains(r.Out, "not in the store") {
		t.Errorf("something of it is visible: %s", r.Out)
	}
	if r := fresh.Nuka(packages, "ls", pid); r.Code == 0 {
		t.Errorf("something of it is visible: %s", r.Out)
	}
	if out := fresh.Must(packages, "store", "verify", "--json"); !strings.Contains(out, `"problems": []`) {
		t.Errorf("verify: %s", out)
	}

	a.Must(packages, "daemon", "start")
	if err := os.WriteFile(filepath.Join(before.Home, "config.nuon"), []byte(hostile), 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	eventually(t, 30*time.Second, func() string { return failure(before.Nuka(packages, "get", pid)) })
	t.Logf("a node that knows somebody: after %s", time.Since(start))
	if out := before.Must(packages, "run", "./app.nu", "--text", "second"); out != "hello from second" {
		t.Errorf("got %q", out)
	}
	if out := before.Must(packages, "store", "verify", "--json"); !strings.Contains(out, `"problems": []`) {
		t.Errorf("verify: %s", out)
	}
}
