package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// transports are the transports of nuka's peers.
var transports = []string{"TCP", "QUIC"}

// listen returns the listen address for a transport.
func listen(transport, ip string) string {
	if transport == "QUIC" {
		return "/ip4/" + ip + "/udp/0/quic-v1"
	}
	return "/ip4/" + ip + "/tcp/0"
}

// A nukaNode is a home with its daemon.
type nukaNode struct {
	*daemon
	b    *bench
	home string
	in   []string // the command that runs its programs, such as nsenter
}

// node starts a daemon that listens only at the given addresses, in a home that it creates if needed.
func (b *bench) node(home string, in []string, addresses ...string) (*nukaNode, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`{listen: ["%s"], mdns: false, relay: false}`, strings.Join(addresses, `", "`))
	if err := os.WriteFile(filepath.Join(home, "config.nuon"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	n := &nukaNode{b: b, home: home, in: in}
	program := filepath.Join(filepath.Dir(b.nuka), "nukad")
	d, err := n.task(program, "--foreground").launch(home + ".log")
	if err != nil {
		return nil, err
	}
	n.daemon = d
	err = until("nukad, see "+d.log, 30*time.Second, func() bool {
		_, err := n.nuka("status").measure()
		return err == nil
	})
	if err == nil {
		err = until("nukad to be in the swarm", 30*time.Second, func() bool { return len(n.swarm().Addresses) > 0 })
	}
	if err != nil {
		d.stop()
		return nil, err
	}
	return n, nil
}

func (n *nukaNode) task(program string, args ...string) task {
	env := []string{"NUKA_HOME=" + n.home, "HOME=" + n.home, "QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=true"}
	return task{args: append(append(n.in[:len(n.in):len(n.in)], program), args...), env: env, dir: n.home}
}

// nuka returns a task that runs the command with the node's home.
func (n *nukaNode) nuka(args ...string) task { return n.task(n.b.nuka, args...) }

type swarmStatus struct {
	Addresses []string
	Peers     int
	Ticket    string
}

func (n *nukaNode) swarm() (s swarmStatus) {
	r, err := n.nuka("swarm", "status", "--json").measure()
	if err != nil || json.Unmarshal([]byte(r.out), &s) != nil {
		return swarmStatus{}
	}
	return s
}

// A nukaGiver is the home that has the tree as a package. Both transports are measured with it.
type nukaGiver struct {
	b    *bench
	home string
	cid  string
}

// build makes a package from the tree, once.
func (g *nukaGiver) build(dir, src string) error {
	if g.home != "" {
		return nil
	}
	pkg := filepath.Join(filepath.Dir(src), "tree.nu")
	text := `export def main [] {
  derivation {
    name: tree, version: "1", src: (fetch path ./` + filepath.Base(src) + `)
    build: {|b| cp -r $b.src $b.out }
  }
}
`
	if err := os.WriteFile(pkg, []byte(text), 0o644); err != nil {
		return err
	}
	home := filepath.Join(dir, "h")
	for _, name := range []string{"code", "machine"} { // compile the engine's machine code once for all inputs
		shared := filepath.Join(g.b.dir, name)
		if err := errors.Join(os.MkdirAll(shared, 0o700), os.MkdirAll(filepath.Join(home, "cache"), 0o700)); err != nil {
			return err
		}
		if err := os.Symlink(shared, filepath.Join(home, "cache", name)); err != nil {
			return err
		}
	}
	n, err := g.b.node(home, nil, listen("TCP", "127.0.0.1"))
	if err != nil {
		return err
	}
	defer n.stop()
	s, err := n.nuka("build", pkg).measure()
	if err != nil {
		return err
	}
	if _, err := n.nuka("share", pkg).measure(); err != nil {
		return err
	}
	f := strings.Fields(s.out)
	if len(f) != 2 {
		return fmt.Errorf("nuka build printed %q", s.out)
	}
	g.home, g.cid = n.home, f[1]
	return nil
}

// A nukaPeer fetches from one daemon to another with the command.
type nukaPeer struct {
	b         *bench
	transport string
	giver     *nukaGiver
}

func nukaName(transport string) string { return "nuka, " + transport }

func (p *nukaPeer) name() string               { return nukaName(p.transport) }
func (p *nukaPeer) give(dir, src string) error { return p.giver.build(dir, src) }

// take restarts both daemons, so that the provider's memory holds only what transfers over this transport have put there.
func (p *nukaPeer) take(dst string, ready func() error) (sample, error) {
	from, err := p.b.node(p.giver.home, nil, listen(p.transport, "127.0.0.1"))
	if err != nil {
		return sample{}, err
	}
	defer from.stop()
	to, err := p.b.node(filepath.Join(dst, "h"), nil, listen(p.transport, "127.0.0.1"))
	if err != nil {
		return sample{}, err
	}
	defer to.stop()
	if _, err := to.nuka("swarm", "connect", from.swarm().Ticket).measure(); err != nil {
		return sample{}, err
	}
	return between(ready, to.nuka("get", p.giver.cid), to.daemon, from.daemon, to.daemon)
}

// A rawPeer is a bare stream of libp2p from file to file, a benchmark of node/swarm, because only that package may use libp2p.
// Its ends are two processes, as with the other peers, or one process, which saves the switches between processes.
type rawPeer struct {
	b         *bench
	transport string
	alone     bool
	src       string
}

// rawName is the prefix of their names.
const rawName = "libp2p stream"

func (p *rawPeer) name() string {
	if p.alone {
		return rawName + " in one process, " + p.transport
	}
	return rawName + ", " + p.transport
}

func (p *rawPeer) give(_, src string) error {
	p.src = filepath.Join(src, "0", "0")
	return installed(p.b.raw)
}

var perOp = regexp.MustCompile(`\s([0-9.]+) ns/op`)

func (p *rawPeer) take(dst string, ready func() error) (sample, error) {
	over := strings.ToLower(p.transport)
	t := task{
		args: []string{p.b.raw, "-test.run", "^$", "-test.bench", "^BenchmarkRaw$/^" + over + "$", "-test.benchtime", "1x"},
		env:  []string{"NUKA_RAW=" + p.src, "TMPDIR=" + dst}, dir: dst,
	}
	var givers []*daemon
	if !p.alone {
		giver := task{args: []string{p.b.raw, "-test.run", "^TestRawGiver$"}, env: []string{"NUKA_RAW=" + p.src, "NUKA_RAW_OVER=" + over}, dir: dst}
		d, err := giver.launch(dst + ".log")
		if err != nil {
			return sample{}, err
		}
		defer d.stop()
		address, err := d.line()
		if err != nil {
			return sample{}, err
		}
		t.env = append(t.env, "NUKA_RAW_FROM="+address)
		givers = append(givers, d)
	}
	s, err := between(ready, t, nil, givers...)
	if err != nil {
		return s, err
	}
	m := perOp.FindStringSubmatch(s.out)
	if m == nil {
		return s, fmt.Errorf("no figure in %q", s.out)
	}
	ns, err := strconv.ParseFloat(m[1], 64)
	s.wall = time.Duration(ns)
	return s, err
}
