package swarm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"

	"github.com/MordragT/nuka/internal/atomicfile"
)

const (
	// knownFile has the peers that were of use, below Options.Dir: a multiaddr with a peer id on each line.
	knownFile = "peers"
	// maxKnown bounds those peers, and maxKnownAddrs the addresses of each.
	maxKnown, maxKnownAddrs = 64, 4
)

// readKnown returns the peers that were of use before; they are called before all others, so that whoever lies to a node
// that starts has to be among them.
func (s *Swarm) readKnown() []peer.AddrInfo {
	if s.o.Dir == "" {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(s.o.Dir, knownFile))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("peers of before", "error", err)
		}
		return nil
	}
	var list []peer.AddrInfo
	at := map[peer.ID]int{}
	for line := range strings.Lines(string(b)) {
		info, err := parseAddress(strings.TrimSpace(line))
		if err != nil || len(list) == maxKnown {
			continue
		}
		i, ok := at[info.ID]
		if !ok {
			i = len(list)
			at[info.ID] = i
			list = append(list, peer.AddrInfo{ID: info.ID})
		}
		list[i].Addrs = append(list[i].Addrs, info.Addrs...)
		s.host.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.PermanentAddrTTL)
		s.peers.get(info.ID).gave()
	}
	return list
}

// writeKnown keeps the peers that were of use, the connected ones first.
func (s *Swarm) writeKnown() error {
	if s.o.Dir == "" {
		return nil
	}
	var text strings.Builder
	n := 0
	for _, connected := range []bool{true, false} {
		for _, m := range s.peers.usefulOnes() {
			if s.isConnected(m.id) != connected || n == maxKnown {
				continue
			}
			addrs := s.host.Peerstore().Addrs(m.id)
			for _, a := range addrs[:min(len(addrs), maxKnownAddrs)] {
				text.WriteString(a.String() + "/p2p/" + m.id.String() + "\n")
			}
			n++
		}
	}
	if n == 0 {
		return nil
	}
	if err := os.MkdirAll(s.o.Dir, 0o755); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(s.o.Dir, knownFile), []byte(text.String()))
}

// usefulOnes returns the peers that have given something that was verified.
func (b *book) usefulOnes() []*member {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []*member
	for _, m := range b.members {
		m.mu.Lock()
		if m.useful {
			list = append(list, m)
		}
		m.mu.Unlock()
	}
	return list
}
