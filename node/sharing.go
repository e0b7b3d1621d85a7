package node

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// shareRoot begins the names of roots that were shared by name: their packages are public, whatever the configuration says.
const shareRoot = "share/"

// sharing knows how far each package, and each block of the store, may go.
//
// Blocks have no names, so two sets are kept: what is in packages that are shared with nobody, and what is in public ones.
// A block in the first goes nowhere, even when it is in a shared package too: others have that package as well.
type sharing struct {
	store    *cas.Store
	config   func() *Config
	mu       sync.RWMutex
	explicit map[pir.PID]bool // shared by name, with all that it refers to
	public   map[cid.CID]bool // blocks
	off      map[cid.CID]bool // blocks
}

// openSharing reads what is shared.
func openSharing(ctx context.Context, store *cas.Store, config func() *Config, refs func(pir.PID) ([]pir.PID, error)) (*sharing, error) {
	s := &sharing{store: store, config: config, explicit: map[pir.PID]bool{}, public: map[cid.CID]bool{}, off: map[cid.CID]bool{}}
	for root, err := range store.Roots() {
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(root.Name, shareRoot) {
			if err := s.addClosure(root.PID, refs); err != nil {
				return nil, err
			}
		}
	}
	for b, err := range store.Bindings() {
		if err != nil {
			return nil, err
		}
		if err := s.learn(ctx, b.PID, b.CID); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// addClosure makes a package public, with all that it refers to.
func (s *sharing) addClosure(id pir.PID, refs func(pir.PID) ([]pir.PID, error)) error {
	s.mu.Lock()
	known := s.explicit[id]
	s.explicit[id] = true
	s.mu.Unlock()
	if known {
		return nil
	}
	list, err := refs(id)
	if errors.Is(err, cas.ErrNotFound) {
		return nil // by the word of somebody who does not count any more
	}
	if err != nil {
		return err
	}
	for _, ref := range list {
		if err := s.addClosure(ref, refs); err != nil {
			return err
		}
	}
	return nil
}

// Reach says how far a package may go.
func (s *sharing) Reach(id pir.PID) Reach {
	s.mu.RLock()
	explicit := s.explicit[id]
	s.mu.RUnlock()
	if explicit {
		return Public
	}
	canonical, _, err := s.store.PIR(id)
	if err != nil {
		return s.config().Reach("") // known by its content alone
	}
	p, err := pir.Decode(canonical)
	if err != nil {
		return Off
	}
	return s.config().Reach(p.Name)
}

// learn keeps the sets up to date when a package has content.
func (s *sharing) learn(ctx context.Context, id pir.PID, root cid.CID) error {
	reach := s.Reach(id)
	if reach == LAN {
		return nil // in no set
	}
	set := s.public
	if reach == Off {
		set = s.off
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if set[root] {
		return nil
	}
	return s.store.Walk(ctx, root, func(c cid.CID) error {
		set[c] = true
		return nil
	})
}

// MayGive says whether a block may go to a node, which is on a private address or anywhere.
func (s *sharing) MayGive(c cid.CID, private bool) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return !s.off[c] && (private || s.public[c])
}

// MayTell says whether a node may be told what is known about a package.
func (s *sharing) MayTell(id pir.PID, private bool) bool {
	reach := s.Reach(id)
	return reach == Public || reach == LAN && private
}
