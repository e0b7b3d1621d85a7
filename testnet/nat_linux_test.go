package testnet

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/internal/skip"
)

// TestBehindRouters has two machines behind NAT routers and four reachable ones. The two find each other, connect through a
// relay at first, and then punch a hole.
func TestBehindRouters(t *testing.T) {
	long(t)
	n := New(t, programs)
	n.prefix = "31.7" // public addresses: libp2p uses relays and hole punching only for those
	const config = `{listen: [/ip4/0.0.0.0/tcp/4717, /ip4/0.0.0.0/udp/4717/quic-v1], mdns: false%s}`
	first := n.Node(fmt.Sprintf(config, ""))
	first.Must(packages, "daemon", "start")
	begin := fmt.Sprintf(config, fmt.Sprintf(`, bootstrap: ["/ip4/%s/tcp/4717/p2p/%s"]`, first.IP, peerOf(t, first)))
	for range 4 {
		n.Node(begin).Must(packages, "daemon", "start")
	}
	a, ok := n.Hidden(begin)
	if !ok {
		skip.Wall(t, "a router needs nftables")
	}
	b, _ := n.Hidden(begin)
	for _, d := range []*Node{a, b} {
		d.Must(packages, "daemon", "start")
	}
	start := time.Now()
	eventually(t, 5*time.Minute, func() string {
		if out := a.Must(packages, "swarm", "status"); !strings.Contains(out, "p2p-circuit") {
			return out
		}
		return ""
	})
	t.Logf("reached through a relay after %s", time.Since(start))
	b.Must(packages, "trust", "add", a.Key(), "--yes")
	a.Must(packages, "share", "./app.nu")
	pid := strings.Fields(a.Must(packages, "build", "./app.nu"))[0]
	eventually(t, time.Minute, func() string { return failure(b.Nuka(packages, "get", pid)) })
	eventually(t, time.Minute, func() string {
		out := b.Must(packages, "peers")
		for line := range strings.Lines(out) {
			if strings.Contains(line, a.Key()[:12]) && !strings.Contains(line, "p2p-circuit") {
				t.Logf("%s after %s", strings.TrimSpace(line), time.Since(start))
				return ""
			}
		}
		return out
	})
}
