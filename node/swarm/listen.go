package swarm

import (
	"fmt"

	"github.com/multiformats/go-multiaddr"
)

// CheckListen reports whether a swarm can be told to listen at a multiaddr: one of an address of this machine, and of tcp or quic-v1.
func CheckListen(text string) error {
	a, err := multiaddr.NewMultiaddr(text)
	if err != nil {
		return err
	}
	names := ""
	for _, p := range a.Protocols() {
		names += "/" + p.Name
	}
	switch names {
	case "/ip4/tcp", "/ip6/tcp", "/ip4/udp/quic-v1", "/ip6/udp/quic-v1":
		return nil
	}
	return fmt.Errorf("%s is an address of %s, want of ip4 or ip6, and of tcp or udp with quic-v1", text, names)
}
