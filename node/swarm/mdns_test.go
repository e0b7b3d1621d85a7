package swarm

import (
	"net"
	"testing"
)

// Two nodes that know nothing of each other meet on the local network; members of another network do not.
func TestMDNS(t *testing.T) {
	if !multicast(t) {
		t.Skip("no interface of this machine can multicast")
	}
	change := func(prefix string) func(*Options) {
		return func(o *Options) {
			o.Prefix, o.MDNS, o.Listen = prefix, true, []string{"/ip4/0.0.0.0/tcp/0"}
		}
	}
	a := start(t, 1, newMemory(), change("/nuka-test"))
	b := start(t, 2, newMemory(), change("/nuka-test"))
	other := start(t, 3, newMemory(), change("/nuka-other"))
	until(t, "a meeting", func() bool { return len(a.Peers()) == 1 && len(b.Peers()) == 1 })
	if p := other.Peers(); len(p) > 0 {
		t.Errorf("a node of another network has met %v", p)
	}
}

func multicast(t *testing.T) bool {
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err == nil && len(addrs) > 0 && i.Flags&net.FlagUp != 0 && i.Flags&net.FlagMulticast != 0 {
			return true
		}
	}
	return false
}
