package peers

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
	// savedFile holds the saved peers, below Options.Dir: a multiaddr with a peer id on each line.
	savedFile = "peers"
	// maxSaved bounds those peers, and maxSavedAddrs the addresses of each.
	maxSaved, maxSavedAddrs = 64, 4
)

// readSaved returns the peers that were useful in earlier runs. They are called before all others, so that somebody who wants to lie to
// a node that starts has to be one of them.
func (h *Host) readSaved() []peer.AddrInfo {
	if h.o.Dir == "" {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(h.o.Dir, savedFile))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			h.log.Warn("read the saved peers", "error", err)
		}
		return nil
	}
	var list []peer.AddrInfo
	at := map[peer.ID]int{}
	for line := range strings.Lines(string(b)) {
		info, err := parseAddress(strings.TrimSpace(line))
		if err != nil || len(list) == maxSaved {
			continue
		}
		i, ok := at[info.ID]
		if !ok {
			i = len(list)
			at[info.ID] = i
			list = append(list, peer.AddrInfo{ID: info.ID})
		}
		list[i].Addrs = append(list[i].Addrs, info.Addrs...)
		h.host.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.PermanentAddrTTL)
		if p := h.record(info.ID); p != nil {
			p.WasUseful()
		}
	}
	return list
}

// writeSaved saves the peers that were useful, the connected ones first.
func (h *Host) writeSaved() error {
	if h.o.Dir == "" {
		return nil
	}
	var text strings.Builder
	n := 0
	for _, connected := range []bool{true, false} {
		for _, p := range h.book.Useful() {
			id, err := idOf(p.Key)
			if err != nil || h.isConnected(id) != connected || n == maxSaved {
				continue
			}
			addrs := h.host.Peerstore().Addrs(id)
			for _, a := range addrs[:min(len(addrs), maxSavedAddrs)] {
				text.WriteString(a.String() + "/p2p/" + id.String() + "\n")
			}
			n++
		}
	}
	if n == 0 {
		return nil
	}
	if err := os.MkdirAll(h.o.Dir, 0o755); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(h.o.Dir, savedFile), []byte(text.String()))
}
