package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	idlePeers  = 30
	idleSettle = 30 * time.Second // two peers that have just met exchange messages, so they are not idle yet
	idleTime   = 30 * time.Second
)

// idle measures the cost of a node with peers and no work. The node has one end of a virtual cable to itself,
// so all bytes on the cable are its own. It listens on both transports, as it does by default.
func (b *bench) idle() error {
	if !alone() {
		fmt.Fprintln(os.Stderr, "bench: idle is left out: it takes a network namespace")
		return nil
	}
	dir := filepath.Join(b.dir, "i")
	defer remove(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// This process keeps the namespace: when its input ends, it ends, and the namespace and the cable with it.
	holder, err := task{args: []string{"unshare", "-n", "sh", "-c", "ip link set lo up && echo ready && cat"}}.launch(filepath.Join(dir, "holder.log"))
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: idle is left out: %v\n", err)
		return nil
	}
	defer holder.stop()
	if _, err := holder.line(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: idle is left out: %v\n", err)
		return nil
	}
	pid := fmt.Sprint(holder.cmd.Process.Pid)
	inside := []string{"nsenter", "-t", pid, "-n", "--"}
	for _, args := range [][]string{
		{"ip", "link", "add", "bench0", "type", "veth", "peer", "name", "bench1", "netns", pid},
		{"ip", "link", "set", "bench0", "up"},
		append(inside, "ip", "addr", "add", "10.78.0.1/24", "dev", "bench1"), append(inside, "ip", "link", "set", "bench1", "up"),
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "bench: idle is left out: %s: %v: %s\n", strings.Join(args, " "), err, out)
			return nil
		}
	}
	defer func() { _ = exec.Command("ip", "link", "del", "bench0").Run() }() // the namespace removes it anyway
	node, err := b.node(filepath.Join(dir, "n"), inside, listen("QUIC", "10.78.0.1"), listen("TCP", "10.78.0.1"))
	if err != nil {
		return err
	}
	defer node.stop()
	for i := range idlePeers {
		// Each peer has an address of its own and is dialled by the node, because a node accepts few connections from one address.
		ip := fmt.Sprintf("10.78.0.%d", 2+i)
		if out, err := exec.Command("ip", "addr", "add", ip+"/24", "dev", "bench0").CombinedOutput(); err != nil {
			return fmt.Errorf("ip addr add: %w: %s", err, out)
		}
		p, err := b.node(filepath.Join(dir, fmt.Sprint(i)), nil, listen("QUIC", ip), listen("TCP", ip))
		if err != nil {
			return err
		}
		defer p.stop()
		if _, err := node.nuka("swarm", "connect", p.swarm().Ticket).measure(); err != nil {
			return err
		}
	}
	time.Sleep(idleSettle)
	bytes := func() int64 { return traffic(pid, "bench1") }
	used, carried := node.cpu(), bytes()
	time.Sleep(idleTime)
	used, carried = node.cpu()-used, bytes()-carried
	rss, peers := node.status("VmRSS"), node.swarm().Peers
	b.say("idle: %d peers, cpu %s, %d bytes, %s", peers, used, carried, mib(rss))
	figure := fmt.Sprintf("idle, %d peers", peers)
	core := 100 * used.Seconds() / idleTime.Seconds()
	rate := float64(carried) / idleTime.Seconds() / 1000
	b.table.add(figure+", CPU", fmt.Sprintf("%.2f %%", core), "", "", "", "≤ 1 %", met(core <= 1 && peers == idlePeers))
	b.table.add(figure+", traffic", fmt.Sprintf("%.1f kB/s", rate), "", "", "", "≤ 5 kB/s", met(rate <= 5 && peers == idlePeers))
	b.table.add(figure+", memory", mib(rss), "", "", "", "≤ 80 MiB", met(rss <= 80<<20 && peers == idlePeers))
	return nil
}

// traffic returns how many bytes an interface in a process's network namespace has received and sent.
func traffic(pid, name string) int64 {
	text, err := os.ReadFile("/proc/" + pid + "/net/dev")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		dev, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if f := strings.Fields(rest); ok && dev == name && len(f) > 8 {
			received, _ := strconv.ParseInt(f[0], 10, 64)
			sent, _ := strconv.ParseInt(f[8], 10, 64)
			return received + sent
		}
	}
	return 0
}
