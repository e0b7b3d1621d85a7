package testnet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/MordragT/nuka/internal/skip"
)

// nets numbers the nets of this process.
var nets atomic.Int64

// A Net is a switch with nodes on it. If a method fails, it ends the test.
type Net struct {
	t        testing.TB
	programs string // folder of nuka and nukad
	dir      string
	name     string
	prefix   string // the first two bytes of addresses
	nodes    []*Node
	routers  []string
}

// A Node is one machine of a net.
type Node struct {
	net  *Net
	n    int
	Home string
	IP   string
}

// New makes a net with the programs in a folder. It is removed when the test ends.
func New(t testing.TB, programs string) *Net {
	t.Helper()
	if os.Getuid() != 0 {
		skip.Wall(t, "network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		skip.Wall(t, "network namespaces need the program ip of iproute2")
	}
	dir, err := os.MkdirTemp("", "nk") //nolint:usetesting // short: the name of a socket has to fit
	if err != nil {
		t.Fatal(err)
	}
	n := &Net{t: t, programs: programs, dir: dir, prefix: "10.77", name: fmt.Sprintf("nk%d-%d", os.Getpid(), nets.Add(1))}
	if out, err := exec.Command("ip", "netns", "add", n.name).CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		skip.Wall(t, "network namespaces cannot be made here:", string(out))
	}
	t.Cleanup(n.close)
	for _, bridge := range []string{"br0", "br1"} { // br1 is for nodes that are cut off
		n.ip("-n", n.name, "link", "add", bridge, "type", "bridge", "mcast_snooping", "0")
		n.ip("-n", n.name, "link", "set", bridge, "up")
	}
	return n
}

func (n *Net) close() {
	for _, node := range n.nodes {
		node.Kill()
	}
	for _, node := range n.nodes {
		_ = exec.Command("ip", "netns", "del", node.namespace()).Run()
	}
	for _, router := range n.routers {
		_ = exec.Command("ip", "netns", "del", router).Run()
	}
	_ = exec.Command("ip", "netns", "del", n.name).Run()
	if err := os.RemoveAll(n.dir); err != nil {
		n.t.Error(err)
	}
}

func (n *Net) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// Node adds a machine with the given configuration in NUON.
func (n *Net) Node(config string) *Node {
	n.t.Helper()
	d := n.machine(config)
	ns := d.namespace()
	n.ip("-n", n.name, "link", "add", d.port(), "type", "veth", "peer", "name", "eth0", "netns", ns)
	n.ip("-n", n.name, "link", "set", d.port(), "master", "br0", "up")
	n.ip("-n", ns, "addr", "add", d.IP+"/16", "dev", "eth0")
	n.ip("-n", ns, "link", "set", "eth0", "up")
	n.ip("-n", ns, "route", "add", "default", "dev", "eth0")
	return d
}

// Hidden adds a machine behind a NAT router of its own: it can open connections to others, but no other machine can connect to it.
// The second result is false if the system does not support that.
func (n *Net) Hidden(config string) (*Node, bool) {
	n.t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		return nil, false
	}
	d := n.machine(config)
	ns, router, outside := d.namespace(), d.namespace()+"r", d.IP
	d.IP = fmt.Sprintf("10.%d.0.2", 100+d.n)
	n.routers = append(n.routers, router)
	n.ip("netns", "add", router)
	n.ip("-n", n.name, "link", "add", d.port(), "type", "veth", "peer", "name", "eth0", "netns", router)
	n.ip("-n", n.name, "link", "set", d.port(), "master", "br0", "up")
	n.ip("-n", router, "link", "add", "in0", "type", "veth", "peer", "name", "eth0", "netns", ns)
	n.ip("-n", router, "addr", "add", outside+"/16", "dev", "eth0")
	n.ip("-n", router, "addr", "add", fmt.Sprintf("10.%d.0.1/24", 100+d.n), "dev", "in0")
	n.ip("-n", ns, "addr", "add", d.IP+"/24", "dev", "eth0")
	for _, link := range [][2]string{{router, "eth0"}, {router, "in0"}, {router, "lo"}, {ns, "eth0"}} {
		n.ip("-n", link[0], "link", "set", link[1], "up")
	}
	n.ip("-n", ns, "route", "add", "default", "via", fmt.Sprintf("10.%d.0.1", 100+d.n))
	n.ip("netns", "exec", router, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	rules := `table ip nat { chain out { type nat hook postrouting priority 100; oifname eth0 masquerade; }; }
table ip filter { chain in { type filter hook input priority 0; iifname eth0 ct state new drop; }; }`
	c := exec.Command("ip", "netns", "exec", router, "nft", "-f", "-")
	c.Stdin = strings.NewReader(rules)
	return d, c.Run() == nil
}

// machine adds a machine without a network.
func (n *Net) machine(config string) *Node {
	n.t.Helper()
	i := len(n.nodes) + 1
	d := &Node{net: n, n: i, Home: filepath.Join(n.dir, strconv.Itoa(i)), IP: fmt.Sprintf("%s.0.%d", n.prefix, i)}
	n.nodes = append(n.nodes, d)
	if err := os.Mkdir(d.Home, 0o700); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Home, "config.nuon"), []byte(config), 0o600); err != nil {
		n.t.Fatal(err)
	}
	// All machines share the machine code, so that it is compiled once.
	if err := os.Mkdir(filepath.Join(d.Home, "cache"), 0o700); err != nil {
		n.t.Fatal(err)
	}
	for _, name := range []string{"code", "machine"} {
		shared := filepath.Join(filepath.Dir(n.programs), "cache", name)
		if err := os.MkdirAll(shared, 0o700); err != nil {
			n.t.Fatal(err)
		}
		if err := os.Symlink(shared, filepath.Join(d.Home, "cache", name)); err != nil {
			n.t.Fatal(err)
		}
	}
	ns := d.namespace()
	n.ip("netns", "add", ns)
	// With IPv6 disabled, an idle machine sends nothing.
	n.ip("netns", "exec", ns, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")
	n.ip("-n", ns, "link", "set", "lo", "up")
	return d
}

func (d *Node) namespace() string { return fmt.Sprintf("%s-%d", d.net.name, d.n) }
func (d *Node) port() string      { return fmt.Sprintf("port%d", d.n) }

// Cut moves nodes from the switch to another one: they still reach each other.
func (n *Net) Cut(nodes ...*Node) {
	for _, d := range nodes {
		n.ip("-n", n.name, "link", "set", d.port(), "master", "br1")
	}
}

// Heal moves all nodes back to one switch.
func (n *Net) Heal() {
	for _, d := range n.nodes {
		n.ip("-n", n.name, "link", "set", d.port(), "master", "br0")
	}
}

// A Result is the outcome of a command.
type Result struct {
	Out, Err string
	Code     int
	Took     time.Duration
}

// Nuka runs the command nuka on the node, in a folder.
func (d *Node) Nuka(dir string, args ...string) Result {
	d.net.t.Helper()
	c := exec.Command("ip", append([]string{"netns", "exec", d.namespace(), filepath.Join(d.net.programs, "nuka")}, args...)...)
	c.Dir = dir
	c.Env = append(os.Environ(), "NUKA_HOME="+d.Home, "HOME="+d.Home, "TERM=dumb", "QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=true")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	start := time.Now()
	err := c.Run()
	r := Result{Out: strings.TrimSpace(out.String()), Err: strings.TrimSpace(errs.String()), Took: time.Since(start)}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		r.Code = exit.ExitCode()
	} else if err != nil {
		d.net.t.Fatalf("nuka %v: %v", args, err)
	}
	return r
}

// Must runs Nuka and fails the test if the command fails; it returns the command's output.
func (d *Node) Must(dir string, args ...string) string {
	d.net.t.Helper()
	r := d.Nuka(dir, args...)
	if r.Code != 0 {
		d.net.t.Fatalf("node %d: nuka %s: exit %d\n%s%s\nits log:\n%s", d.n, strings.Join(args, " "), r.Code, r.Out, r.Err, d.Log())
	}
	return r.Out
}

// Log returns the log of the node's daemon.
func (d *Node) Log() string {
	b, _ := os.ReadFile(filepath.Join(d.Home, "run", "nukad.log"))
	return string(b)
}

// Key returns the node's key.
func (d *Node) Key() string {
	d.net.t.Helper()
	var s struct{ Key string }
	if err := json.Unmarshal([]byte(d.Must(d.Home, "key", "show", "--json")), &s); err != nil {
		d.net.t.Fatal(err)
	}
	return s.Key
}

// Process returns the process id of the node's daemon, or 0 if none runs.
func (d *Node) Process() int {
	r := d.Nuka(d.Home, "status", "--json")
	var s struct{ Process int }
	if r.Code != 0 || json.Unmarshal([]byte(r.Out), &s) != nil {
		return 0
	}
	return s.Process
}

// Kill kills the node's daemon and every process in its namespace, at once.
func (d *Node) Kill() {
	out, err := exec.Command("ip", "netns", "pids", d.namespace()).Output()
	if err != nil {
		return
	}
	for _, word := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(word); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	for range 500 { // until they have ended, because the store's lock ends with them
		out, err := exec.Command("ip", "netns", "pids", d.namespace()).Output()
		if err != nil || len(bytes.TrimSpace(out)) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Traffic returns how many bytes the node's interface has received and sent since it was created.
func (d *Node) Traffic() int64 {
	d.net.t.Helper()
	count := d.counters()
	return count["received bytes"] + count["sent bytes"]
}

// Sent returns how many packets the node's interface has sent since it was created.
// It excludes ICMPv6, with which the kernel itself searches for routers and announces its groups at any time.
func (d *Node) Sent() int64 {
	d.net.t.Helper()
	count := d.counters()
	return count["sent packets"] - count["Icmp6OutMsgs"]
}

// counters returns the kernel's counters of the node's interface.
func (d *Node) counters() map[string]int64 {
	d.net.t.Helper()
	out, err := exec.Command("ip", "netns", "exec", d.namespace(),
		"cat", "/proc/net/dev", "/proc/net/dev_snmp6/eth0").Output()
	if err != nil {
		d.net.t.Fatal(err)
	}
	count := map[string]int64{}
	set := func(name, digits string) {
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			d.net.t.Fatal(err)
		}
		count[name] = n
	}
	for line := range strings.Lines(string(out)) {
		switch f := strings.Fields(line); {
		case len(f) == 17 && f[0] == "eth0:":
			set("received bytes", f[1])
			set("sent bytes", f[9])
			set("sent packets", f[10])
		case len(f) == 2 && f[0] == "Icmp6OutMsgs":
			set(f[0], f[1])
		}
	}
	return count
}
