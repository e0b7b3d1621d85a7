package testnet

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/internal/kubo"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// An ipfs is a kubo node on a machine of the net.
type ipfs struct {
	t             *testing.T
	d             *Node
	program, repo string
}

func (k *ipfs) command(args ...string) *exec.Cmd {
	c := exec.Command("ip", append([]string{"netns", "exec", k.d.namespace(), k.program}, args...)...)
	c.Env = append(os.Environ(), kubo.Env(k.repo)...)
	return c
}

func (k *ipfs) must(args ...string) []byte {
	k.t.Helper()
	c := k.command(args...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		k.t.Fatalf("ipfs %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out
}

// start starts its daemon, which ends with the machine.
func (k *ipfs) start() {
	k.t.Helper()
	c := k.command("daemon")
	out, err := c.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { k.d.Kill(); _ = c.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "Daemon is ready" {
			go func() {
				for lines.Scan() { // the daemon blocks unless its output is read
				}
			}()
			return
		}
	}
	k.t.Fatal("kubo's daemon has ended")
}

// TestKubo lets kubo, IPFS's own node, which knows nothing of nuka, fetch packages with files of every kind from a nukad, by their CIDs.
func TestKubo(t *testing.T) {
	long(t)
	n := New(t, programs)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	program, err := kubo.Build(filepath.Join(cache, "nuka-test", "kubo"))
	if err != nil {
		t.Fatal(err)
	}
	a, other := n.Node(`{listen: [/ip4/0.0.0.0/tcp/4717, /ip4/0.0.0.0/udp/4717/quic-v1], mdns: false, relay: false}`), n.Node("{}")

	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "data", "many"), 0o755); err != nil {
		t.Fatal(err)
	}
	random := func(size int) string {
		b := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(size)}).Read(b)
		return string(b)
	}
	for i := range 2000 { // a directory of several blocks
		write(t, dir, fmt.Sprintf("data/many/%0100d", i), random(i%50))
	}
	write(t, dir, "data/empty", "")
	write(t, dir, "data/leaf", random(1<<20))
	write(t, dir, "data/large", random(5<<20+1)) // a file of several blocks
	write(t, dir, "data.nu", `export def main [] { derivation {name: data, src: (fetch path ./data), build: {|b| cp -r $b.src $"($b.out)/data" }} }`)
	root := strings.Fields(a.Must(dir, "build", "./data.nu"))[1]
	a.Must(dir, "share", "./data.nu")

	k := &ipfs{t: t, d: other, program: program, repo: filepath.Join(other.Home, "ipfs")}
	for _, args := range kubo.Setup("/ip4/0.0.0.0/tcp/0") {
		k.must(args...)
	}
	k.start()
	k.must("swarm", "connect", fmt.Sprintf("/ip4/%s/tcp/4717/p2p/%s", a.IP, peerOf(t, a)))
	got := filepath.Join(t.TempDir(), "got")
	start := time.Now()
	k.must("get", "--timeout", "2m", "-o", got, root)
	t.Logf("got within %s", time.Since(start))
	car := k.must("dag", "export", "--timeout", "1m", "--progress=false", root)

	a.Must(dir, "daemon", "stop")
	store, err := cas.Open(protocol.Home{Data: a.Home}.Store(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	c, err := cid.Parse(root)
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(t.TempDir(), "want")
	if err := store.Export(t.Context(), c, want); err != nil {
		t.Fatal(err)
	}
	files, size := same(t, want, got)
	if files < 2003 || int64(len(car)) < size {
		t.Errorf("%d files of %d bytes, and %d bytes of blocks", files, size, len(car))
	}
	t.Logf("%d files of %d bytes, %d bytes of blocks", files, size, len(car))
}

// same compares the files in two folders, and returns their number and total size.
func same(t *testing.T, want, got string) (files int, size int64) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(want), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		w, err := os.ReadFile(filepath.Join(want, path))
		if err != nil {
			return err
		}
		g, err := os.ReadFile(filepath.Join(got, path))
		if err != nil {
			return err
		}
		if !bytes.Equal(w, g) {
			t.Errorf("%s: %d bytes that are not the %d that it has", path, len(g), len(w))
		}
		files++
		size += int64(len(w))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, size
}
