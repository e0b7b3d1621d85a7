package peers

import (
	"context"
	"crypto/ed25519"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/MordragT/nuka/protocol"
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
	a := start(t, 1, change("/nuka-test"))
	b := start(t, 2, change("/nuka-test"))
	other := start(t, 3, change("/nuka-other"))
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

// A node of the local network that does not answer at first is called again, though mDNS tells of it once.
func TestCallLocalAgain(t *testing.T) {
	a, b := start(t, 1, nil), start(t, 2, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info := peer.AddrInfo{ID: b.host.ID()}
	at, err := manet.FromNetAddr(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	info.Addrs = append(info.Addrs, at)
	there, err := manet.ToNetAddr(b.host.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan bool)
	go func() {
		defer close(refused)
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.Close() // as TLS does when both are the caller
		for {
			if c, err = l.Accept(); err != nil {
				return
			}
			to, err := net.Dial("tcp", there.String())
			if err != nil {
				c.Close()
				return
			}
			from := c
			go func() { _, _ = io.Copy(to, from) }()
			go func() { _, _ = io.Copy(from, to) }()
		}
	}()
	slots := make(chan struct{}, 1)
	slots <- struct{}{}
	a.callLocal(t.Context(), info, slots)
	if !a.isConnected(info.ID) {
		t.Error("it was not called again")
	}
	if len(slots) > 0 {
		t.Error("its slot is taken")
	}
	l.Close()
	<-refused
}

// However many nodes somebody on the local network names, a few are called or waited for.
func TestCallLocalFlood(t *testing.T) {
	s := start(t, 1, nil)
	found, before := make(chan peer.AddrInfo), runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	calls.Go(func() { s.callFound(ctx, found) })
	most := 0
	for n := range 500 {
		public, _, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		id, err := idOf(protocol.Key(public))
		if err != nil {
			t.Fatal(err)
		}
		found <- peer.AddrInfo{ID: id, Addrs: []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/1")}} // where nobody listens
		if n%10 == 0 {
			most = max(most, runtime.NumGoroutine()-before)
		}
	}
	cancel()
	calls.Wait()
	if most > 250 { // a call has a goroutine or two of its own
		t.Errorf("%d goroutines for nodes that are none", most)
	}
}
