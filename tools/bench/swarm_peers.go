package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/MordragT/nuka/internal/kubo"
)

// A kuboGiver is a repository of kubo, IPFS's own node.
type kuboGiver struct {
	b    *bench
	repo string
	cid  string // of the tree, after it was added
}

// A kuboPeer is kubo with one repository and one daemon for each end, over TCP, its faster transport.
// By default it does not sync what it writes, so one variant does.
type kuboPeer struct {
	*kuboGiver
	sync bool
}

func (p *kuboPeer) name() string {
	if p.sync {
		return "kubo; sync"
	}
	return "kubo"
}

func (p *kuboGiver) ipfs(repo string, args ...string) task {
	return task{args: append([]string{p.b.ipfs}, args...), env: kubo.Env(repo)}
}

// init creates a repository whose daemon has no bootstrap peers and searches for none.
func (p *kuboGiver) init(repo string) error {
	for _, args := range kubo.Setup("/ip4/127.0.0.1/tcp/0") {
		if _, err := p.ipfs(repo, args...).measure(); err != nil {
			return err
		}
	}
	return nil
}

func (p *kuboGiver) give(dir, src string) error {
	if p.cid != "" {
		return nil
	}
	if err := installed(p.b.ipfs); err != nil {
		return err
	}
	p.repo = filepath.Join(dir, "r")
	if err := p.init(p.repo); err != nil {
		return err
	}
	s, err := p.ipfs(p.repo, "add", "-r", "-Q", "--cid-version", "1", "--hash", "blake3", "--raw-leaves", "--chunker", "size-1048576", src).measure()
	p.cid = strings.TrimSpace(s.out)
	return err
}

func (p *kuboGiver) start(repo string) (*daemon, error) {
	d, err := p.ipfs(repo, "daemon").launch(repo + ".log")
	if err != nil {
		return nil, err
	}
	for line := ""; line != "Daemon is ready"; {
		if line, err = d.line(); err != nil {
			d.stop()
			return nil, err
		}
	}
	return d, nil
}

func (p *kuboPeer) take(dst string, ready func() error) (sample, error) {
	from, err := p.start(p.repo)
	if err != nil {
		return sample{}, err
	}
	defer from.stop()
	repo := filepath.Join(dst, "r")
	if err := p.init(repo); err != nil {
		return sample{}, err
	}
	to, err := p.start(repo)
	if err != nil {
		return sample{}, err
	}
	defer to.stop()
	addrs, err := p.ipfs(p.repo, "id", "-f", "<addrs>").measure()
	if err != nil {
		return sample{}, err
	}
	if _, err := p.ipfs(repo, "swarm", "connect", strings.Fields(addrs.out)[0]).measure(); err != nil {
		return sample{}, err
	}
	t := p.ipfs(repo, "pin", "add", p.cid)
	if p.sync {
		t = t.synced()
	}
	return between(ready, t, to, from, to)
}

// An irohPeer is iroh-blobs, from npm, run by a script. It connects to the provider before the clock starts.
type irohPeer struct {
	b           *bench
	store, what string
}

func (p *irohPeer) name() string { return "iroh 0.35" }

func (p *irohPeer) node(args ...string) task {
	return task{args: append([]string{"node", "--no-deprecation", p.b.iroh, p.b.irohModule}, args...)}
}

func (p *irohPeer) give(dir, src string) error {
	if p.b.irohModule == "" {
		return errLeftOut
	}
	if !alone() {
		return fmt.Errorf("%w: it calls a relay of its makers', so it runs only where there is no network", errLeftOut)
	}
	if err := installed("node"); err != nil {
		return err
	}
	if one := filepath.Join(src, "0", "0"); p.single(src) {
		src = one
	}
	p.store = filepath.Join(dir, "s")
	s, err := p.node("add", p.store, src).measure()
	p.what = strings.TrimSpace(s.out)
	return err
}

// single reports whether the tree is one file: iroh stores it as a blob, not as a collection.
func (p *irohPeer) single(src string) bool {
	list, err := os.ReadDir(filepath.Join(src, "0"))
	return err == nil && len(list) == 1
}

func (p *irohPeer) take(dst string, ready func() error) (sample, error) {
	from, err := p.node("give", p.store).launch(p.store + ".log")
	if err != nil {
		return sample{}, err
	}
	defer from.stop()
	address, err := from.line()
	if err != nil {
		return sample{}, err
	}
	t := p.node("take", filepath.Join(dst, "s"), p.what, address)
	t.own = true
	return between(ready, t, nil, from)
}

// alone reports whether this machine has only a loopback network.
func alone() bool {
	list, err := net.Interfaces()
	for _, i := range list {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			return false
		}
	}
	return err == nil
}

// serveChild serves a folder over HTTP until its input ends, and prints the address.
func serveChild(dir string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + l.Addr().String())
	server := &http.Server{Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: time.Minute}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Close()
	}()
	if err := server.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// serve starts a child that serves a folder, and returns the address.
func serve(dir, log string) (*daemon, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	d, err := task{args: []string{self, "serve", dir}}.launch(log)
	if err != nil {
		return nil, "", err
	}
	url, err := d.line()
	if err != nil {
		d.stop()
	}
	return d, url, err
}

// A nixGiver is a binary cache, served by our own HTTP server. Nothing is compressed, as with the other peers.
type nixGiver struct{ cache, path string }

// A nixPeer is nix copy. It does not sync what it writes, so one variant does.
type nixPeer struct {
	giver *nixGiver
	sync  bool
}

func (p *nixPeer) name() string {
	if p.sync {
		return "nix copy; sync"
	}
	return "nix copy"
}

func (*nixGiver) task(home string, args ...string) task {
	return task{args: args, env: []string{"NIX_REMOTE=", "HOME=" + home, "XDG_CACHE_HOME=" + home,
		"NIX_CONFIG=experimental-features = nix-command\nsubstituters =\nsandbox = false\nbuild-users-group =\n"}} //nolint:misspell // it is called that
}

func (p *nixPeer) give(dir, src string) error {
	if p.giver.path != "" {
		return nil
	}
	return p.giver.make(dir, src)
}

// make adds the tree to a store, and copies it from there to the cache.
func (p *nixGiver) make(dir, src string) error {
	if err := installed("nix", "nix-store"); err != nil {
		return err
	}
	store := filepath.Join(dir, "s")
	defer remove(store)
	p.cache = filepath.Join(dir, "c")
	if _, err := p.task(dir, "nix-store", "--store", store, "--init").measure(); err != nil {
		return err
	}
	s, err := p.task(dir, "nix-store", "--store", store, "--add", src).measure()
	if err != nil {
		return err
	}
	path := strings.TrimSpace(s.out)
	if _, err := p.task(dir, "nix", "copy", "--from", store, "--to", "file://"+p.cache+"?compression=none", path).measure(); err != nil {
		return err
	}
	p.path = path
	return nil
}

func (p *nixPeer) take(dst string, ready func() error) (sample, error) {
	from, url, err := serve(p.giver.cache, dst+".log")
	if err != nil {
		return sample{}, err
	}
	defer from.stop()
	store := filepath.Join(dst, "s")
	if _, err := p.giver.task(dst, "nix-store", "--store", store, "--init").measure(); err != nil {
		return sample{}, err
	}
	t := p.giver.task(dst, "nix", "copy", "--no-check-sigs", "--from", url, "--to", store, p.giver.path)
	if p.sync {
		t = t.synced()
	}
	return between(ready, t, nil, from)
}
